"""sdi, sdii, sdiii: the published sizes, one tree behind all three parts."""

import numpy as np
import pytest

from dlgn_keras.data import Preprocessing, load, oblique_dataset

# Published training-set sizes and dimensions; the other two parts are half as large.
PUBLISHED = {"sdi": (20_000, 20), "sdii": (30_000, 100), "sdiii": (50_000, 500)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    num_train, dim = PUBLISHED[name]
    dataset, tree = oblique_dataset(name)
    assert dataset.x_train.shape == (num_train, dim)
    assert dataset.x_validation.shape == (num_train // 2, dim)
    assert dataset.x_test.shape == (num_train // 2, dim)
    assert dataset.x_train.dtype == np.float32
    assert dataset.preprocessing == Preprocessing()
    assert dataset.num_classes == 2
    assert tree.normals.shape == (15, dim)
    assert tree.orthogonality == "all"


def test_one_tree_labels_all_parts_and_its_leaves_are_equally_full():
    dataset, tree = oblique_dataset("sdi", seed=3)
    counts = np.zeros(16, int)
    for split in dataset.splits:
        x, y = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
        assert tree.predict(x).tolist() == y.tolist()
        counts += np.bincount(tree.leaf(x), minlength=16)
    assert counts.tolist() == [2500] * 16
    other = oblique_dataset("sdi", seed=4).tree
    assert np.mean(other.predict(dataset.x_test) == dataset.y_test) < 0.6


def test_no_point_stands_in_two_parts():
    dataset = load("sdi")
    points = {p.tobytes() for s in dataset.splits for p in getattr(dataset, f"x_{s}")}
    assert len(points) == 40_000


def test_load_gives_the_same_set_as_oblique_dataset():
    ours, theirs = load("sdi", seed=5), oblique_dataset("sdi", 5).dataset
    np.testing.assert_array_equal(ours.x_test, theirs.x_test)
    np.testing.assert_array_equal(load("sdi").x_test, load("sdi", seed=0).x_test)
    assert not np.array_equal(ours.x_test, load("sdi").x_test)


def test_an_unknown_set_is_answered_with_the_closest():
    with pytest.raises(ValueError, match=r"must be one of sdi.*Did you mean 'sdiii'"):
        oblique_dataset("sdiiii")
