"""Sampled oblique trees: points on a sphere, equal leaves, orthonormal normals."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from dlgn_keras.data import sample_oblique_tree


def largest_product(vectors):
    """Largest |inner product| of two different rows."""
    products = vectors @ vectors.T
    return np.abs(products - np.diag(np.diag(products))).max()


def ways(depth):
    """Every way from the root to a last node, written out from the leaves up."""
    for leaf in range(2**depth):
        turns = [(leaf >> k) & 1 for k in reversed(range(depth))]
        way, node = [], 0
        for turn in turns:
            way.append(node)
            node = 2 * node + 1 + turn
        yield way


@pytest.mark.parametrize(("dim", "depth"), [(15, 4), (20, 4), (500, 4), (31, 5)])
def test_all_normals_are_orthonormal_where_dim_allows(dim, depth):
    tree = sample_oblique_tree(64, dim, depth).tree
    np.testing.assert_allclose(np.linalg.norm(tree.normals, axis=1), 1, atol=1e-12)
    assert largest_product(tree.normals) < 1e-12
    assert tree.orthogonality == "all"


@pytest.mark.parametrize(("dim", "depth"), [(14, 4), (4, 4), (5, 5)])
def test_normals_on_each_way_are_orthonormal_in_fewer_dimensions(dim, depth):
    tree = sample_oblique_tree(64, dim, depth).tree
    np.testing.assert_allclose(np.linalg.norm(tree.normals, axis=1), 1, atol=1e-12)
    assert max(largest_product(tree.normals[way]) for way in ways(depth)) < 1e-12
    assert largest_product(tree.normals) > 0.1  # not all of them can be
    assert tree.orthogonality == "paths"


def test_below_depth_dimensions_normals_are_unit_vectors_and_it_is_said():
    tree = sample_oblique_tree(64, 2, 4, balanced=False).tree
    np.testing.assert_allclose(np.linalg.norm(tree.normals, axis=1), 1, atol=1e-12)
    assert tree.orthogonality == "none"


@pytest.mark.parametrize("dim", [4, 14, 20])
@pytest.mark.parametrize("num_points", [16, 1600, 20_000])
def test_every_leaf_is_equally_full(dim, num_points):
    x, _, tree = sample_oblique_tree(num_points, dim, seed=2)
    assert x.shape == (num_points, dim)
    assert np.bincount(tree.leaf(x), minlength=16).tolist() == [num_points // 16] * 16


@pytest.mark.parametrize("num_points", [1, 5, 1003])
def test_a_remainder_makes_leaves_differ_by_one_at_most(num_points):
    x, _, tree = sample_oblique_tree(num_points, 20)
    counts = np.bincount(tree.leaf(x), minlength=16)
    assert counts.sum() == num_points
    assert counts.max() - counts.min() <= 1


def test_without_balancing_leaves_are_equal_in_expectation_only():
    num_points = 20_000
    x, _, tree = sample_oblique_tree(num_points, 20, balanced=False)
    counts = np.bincount(tree.leaf(x), minlength=16)
    assert counts.max() - counts.min() > 1
    deviation = np.sqrt(num_points * (1 / 16) * (15 / 16))
    assert np.all(np.abs(counts - num_points / 16) < 5 * deviation)


@pytest.mark.parametrize("balanced", [True, False])
def test_points_are_uniform_on_the_unit_sphere(balanced):
    num_points, dim = 20_000, 20
    x, _, _ = sample_oblique_tree(num_points, dim, balanced=balanced)
    assert x.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    # On the sphere E[x_i] = 0 and E[x_i x_j] = 1{i = j} / dim; deviations
    # are 1 / sqrt(dim) and at most 1.5 / dim: means stray by less than six of theirs.
    bound = 6 / np.sqrt(dim * num_points)
    assert np.abs(x.mean(axis=0)).max() < bound
    second = x.T.astype(float) @ x / num_points
    strays = np.abs(second - np.eye(dim) / dim).max()
    assert strays < 6 * 1.5 / dim / np.sqrt(num_points)
    twin = x.copy()
    twin[:, 0] = np.abs(twin[:, 0])
    assert np.abs(twin.mean(axis=0)).max() > bound


def test_a_slice_is_a_fair_sample_of_the_leaves():
    x, _, tree = sample_oblique_tree(16_000, 20)
    tail = np.bincount(tree.leaf(x[-1600:]), minlength=16)
    assert np.all(np.abs(tail - 100) < 5 * np.sqrt(100))
    assert tail.tolist() != [100] * 16


def test_labels_are_the_trees_own_and_half_of_each():
    x, y, tree = sample_oblique_tree(3200, 20)
    assert y.dtype == np.int64
    assert y.tolist() == tree.predict(x).tolist()
    assert y.sum() == 1600
    broken = x.copy()
    broken[:, :10] *= -1
    assert y.tolist() != tree.predict(broken).tolist()


def test_labels_follow_the_signs_of_four_dot_products():
    x, y, tree = sample_oblique_tree(500, 20, seed=4)
    for point, label in zip(x, y, strict=True):
        node = 0
        for _ in range(4):
            right = float(np.dot(tree.normals[node], point.astype(np.float64))) > 0
            node = 2 * node + (2 if right else 1)
        assert label == (node - 15) % 2


def test_sibling_leaves_have_opposite_labels_and_hyperplanes_no_bias():
    tree = sample_oblique_tree(16, 20).tree
    assert np.all(tree.leaf_labels[::2] + tree.leaf_labels[1::2] == 1)
    assert np.all(tree.biases == 0)


def test_an_axis_parallel_tree_fails_where_the_true_directions_succeed():
    x, y, tree = sample_oblique_tree(4000, 20)
    along = x @ tree.normals.T
    parts = slice(2000), slice(2000, None)

    def accuracy(inputs):
        model = DecisionTreeClassifier(max_leaf_nodes=64, random_state=0)
        model.fit(inputs[parts[0]] > 0, y[parts[0]])
        return model.score(inputs[parts[1]] > 0, y[parts[1]])

    assert accuracy(x) < 0.65
    assert accuracy(along) > 0.75


def test_the_seed_decides_tree_and_points():
    first, again, other = (sample_oblique_tree(64, 20, seed=s) for s in (0, 0, 1))
    assert first.x.tobytes() == again.x.tobytes()
    assert first.tree.to_json() == again.tree.to_json()
    assert first.x.tobytes() != other.x.tobytes()
    assert first.tree.to_json() != other.tree.to_json()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": 0}, "`num_points` must be a whole number of at least 1"),
        ({"num_points": 1.5}, "Received: num_points=1.5"),
        ({"dim": 0}, "`dim` must be a whole number of at least 1"),
        ({"depth": 0}, "`depth` must be a whole number from 1 to 16"),
        ({"depth": 17}, "Received: depth=17"),
        ({"depth": True}, "Received: depth=True"),
        ({"dim": 3}, "give balanced=False otherwise. Received: dim=3, depth=4"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_oblique_tree(**({"num_points": 16, "dim": 20} | arguments))


@pytest.mark.parametrize("balanced", [True, False])
def test_points_keep_a_margin_to_the_hyperplanes_on_their_path(balanced):
    options = {"dim": 6, "depth": 3, "seed": 5, "balanced": balanced}

    def nearest(x, tree):
        found = []
        for point in x.astype(float):
            node, heights = 0, []
            while node < len(tree.normals):
                heights.append(tree.normals[node] @ point)
                node = 2 * node + 1 + int(heights[-1] > 0)
            found.append(np.abs(heights).min())
        return np.array(found)

    x, y, tree = sample_oblique_tree(400, margin=0.1, **options)
    assert len(x) == 400
    assert (tree.predict(x) == y).all()
    assert 0.1 <= nearest(x, tree).min() < 0.12
    if balanced:
        assert np.bincount(tree.leaf(x)).tolist() == [50] * 8
    # Broken twin: without a margin, points come near.
    x, _, tree = sample_oblique_tree(400, **options)
    assert np.mean(nearest(x, tree) < 0.1) > 0.2


@pytest.mark.parametrize(("margin", "message"), [(-0.1, "at least 0"), (0.9, "one po")])
def test_margins_that_cannot_be_kept_are_refused(margin, message):
    with pytest.raises(ValueError, match=f"`margin` must .*{message}"):
        sample_oblique_tree(100, 6, 3, margin=margin)
