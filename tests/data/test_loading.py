"""load by name: digits as bundled, and clear answers to names that are none."""

import hashlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

import dlgn_keras.data
from dlgn_keras.data import NAMES, class_names, load
from dlgn_keras.data.prepared import SOURCES


def images_of(x, y):
    return sorted(
        (int(label), image.astype(np.uint8).tobytes())
        for image, label in zip(x, y, strict=True)
    )


def test_digits_are_all_of_scikit_learns_images_each_in_one_part():
    digits = load("digits")
    ours = images_of(
        np.concatenate([digits.x_train, digits.x_test]),
        np.concatenate([digits.y_train, digits.y_test]),
    )
    bundled = load_digits()
    assert ours == images_of(bundled.images, bundled.target)
    twin = np.array(bundled.images)
    twin[0, 0, 0] += 1
    assert ours != images_of(twin, bundled.target)


def test_digits_are_split_1437_to_360_by_class():
    digits = load("digits")
    assert digits.x_train.shape == (1437, 8, 8, 1)
    assert digits.x_test.shape == (360, 8, 8, 1)
    assert digits.x_train.dtype == np.uint8
    counts = np.bincount(digits.y_train) + np.bincount(digits.y_test)
    share = counts * 360 / 1797
    assert np.all(np.abs(np.bincount(digits.y_test) - share) <= 1)


def test_the_split_of_digits_is_the_one_on_every_machine():
    digest = hashlib.sha256(load("digits").x_test.tobytes()).hexdigest()
    assert digest == "28efe02ff18cb98621536631b9f1a15df43a0c0600d0ba812fcd51255e775e13"


def test_digits_are_scaled_to_0_to_1():
    digits = load("digits")
    ready = digits.preprocessing.apply(digits.x_train)
    assert (ready.min(), ready.max()) == (0, 1)
    assert digits.preprocessing.range_problem(digits.x_train) is None
    assert digits.preprocessing.range_problem(ready) is not None


@pytest.mark.parametrize(
    ("name", "close"),
    [("minst", "mnist"), ("cifar-10", "cifar10"), ("Digits", "digits"), ("sd2", "sdi")],
)
def test_an_unknown_name_is_answered_with_the_closest_and_the_list(name, close):
    with pytest.raises(ValueError, match=f"Did you mean '{close}'") as caught:
        load(name)
    assert all(known in str(caught.value) for known in NAMES)
    assert f"Received: name={name!r}" in str(caught.value)


def test_a_name_like_nothing_gets_no_guess():
    with pytest.raises(ValueError, match=r"`name` must be one of") as caught:
        load("zzzzzz")
    assert "Did you mean" not in str(caught.value)


def test_a_seed_where_none_is_used_is_refused():
    with pytest.raises(ValueError, match="`seed` must be None except for sdi"):
        load("digits", seed=0)


def test_every_data_set_says_whose_it_is():
    assert "Alpaydin" in load("digits").terms
    assert "seed 3" in load("sdi", seed=3).terms


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


# A finder that stands before all others and refuses the frameworks, as a machine
# without them would; and the package alone, without the parent that imports Keras.
WITHOUT = """
import importlib.abc, importlib.machinery, importlib.util, sys, types
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
parent = types.ModuleType("dlgn_keras")
parent.__path__ = [{parent!r}]
sys.modules["dlgn_keras"] = parent
import numpy as np
from dlgn_keras import data
"""


def without(refused, code):
    parent = str(pathlib.Path(dlgn_keras.data.__file__).parents[1])
    return run_python(WITHOUT.format(refused=refused, parent=parent) + code)


def test_digits_npz_and_trees_need_no_framework(tmp_path):
    path = str(tmp_path / "mine.npz")
    code = f"""
print(data.load("digits"))
x, y, tree = data.sample_oblique_tree(32, 16)
np.savez({path!r}, x_train=x, y_train=y, x_test=x, y_test=y)
print(data.load({path!r}))
"""
    refused = {"keras", "tensorflow", "tensorflow_datasets", "jax", "torch"}
    done = without(refused, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Dataset(") == 2


def test_a_folder_of_npz_files_serves_a_name(tmp_path):
    digits = load("digits")
    parts = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "cifar10.npz", **{k: getattr(digits, k) for k in parts})
    found = load("cifar10", data_dir=tmp_path)
    np.testing.assert_array_equal(found.x_train, digits.x_train)
    assert found.name == "cifar10"
    assert found.preprocessing == SOURCES["cifar10"].preprocessing
    assert found.terms == SOURCES["cifar10"].terms
    assert found.class_names == class_names("cifar10")
    own = load(tmp_path / "cifar10.npz")
    assert own.preprocessing != found.preprocessing
    assert own.class_names == tuple("0123456789")
    with pytest.raises(FileNotFoundError, match="'mnist' is not in"):
        load("mnist", data_dir=tmp_path, download=False)


def test_names_of_classes_are_known_without_the_data():
    assert class_names("digits") == load("digits").class_names
    with pytest.raises(ValueError, match="Did you mean 'cifar10'"):
        class_names("cifar")
    with pytest.raises(ValueError, match="must be one of digits, mnist"):
        class_names("sdi")


def test_mnist1d_is_the_published_one():
    """Numbers of `make_dataset()` of mnist1d 0.0.2.post1, which made them."""
    found = load("mnist1d")
    assert found.input_shape == (40, 1)
    first = [-0.33200567, -0.47191037, -0.77869708, -1.00974083]
    np.testing.assert_allclose(found.x_train[0, :4, 0], first, atol=1e-6)
    last = [0.65987565, 0.87773435, 1.19315184]
    np.testing.assert_allclose(found.x_test[-1, -3:, 0], last, atol=1e-6)
    assert found.y_train[:8].tolist() == [2, 6, 4, 5, 6, 6, 6, 0]
    assert found.y_test[-4:].tolist() == [5, 9, 6, 4]
    counts = [102, 104, 89, 106, 106, 98, 99, 96, 98, 102]
    assert np.bincount(found.y_test).tolist() == counts
