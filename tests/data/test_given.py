"""Your own objects: each kind gives the arrays that went into it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from dlgn_keras.data import given, load
from dlgn_keras.training import Recipe, fit
from dlgn_keras.tuning import GatedHyperModel

DIGITS = load("digits").take(60, 20)
X, Y = DIGITS.x_train, DIGITS.y_train


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, k):
        return X[10 * k : 10 * k + 10], Y[10 * k : 10 * k + 10]


def loader():
    pairs = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
    return torch.utils.data.DataLoader(pairs, batch_size=7)


KINDS = {
    "arrays": lambda: (X, Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "PyDataset": Batches,
    "DataLoader": loader,
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices((X, Y)),
    "batched tf.data": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_arrays(kind):
    found = given({"train": KINDS[kind](), "test": (X[:5], Y[:5])})
    np.testing.assert_array_equal(found.x_train, X)
    np.testing.assert_array_equal(found.y_train, Y)
    assert found.num_classes == 10


def test_without_a_test_part_a_fifth_is():
    found = given((X, Y), class_names=[f"digit {k}" for k in range(10)])
    assert (len(found.y_train), len(found.y_test)) == (48, 12)
    assert np.bincount(found.y_test, minlength=10).min() >= 1
    assert found.class_names[3] == "digit 3"


def test_one_hot_rows_by_option():
    rows = np.eye(10, dtype="float32")[Y]
    np.testing.assert_array_equal(
        given({"train": (X, rows), "test": (X, rows)}, one_hot=True).y_train, Y
    )
    with pytest.raises(ValueError, match=r"argmax\(axis=1\)"):
        given((X, rows))
    with pytest.raises(ValueError, match="a single 1"):
        given((X, rows * 0.5), one_hot=True)
    with pytest.raises(ValueError, match="a single 1"):
        given((X, Y), one_hot=True)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"test": (X, Y)}, "must have the parts train"),
        ({"train": (X, Y), "tset": (X, Y)}, "'tset'"),
        (X, r"must be \(x, y\), tf.data"),
        (iter([X]), r"must yield \(inputs, labels\)"),
        (iter([(X, Y, Y)]), "without weights"),
        (iter([]), "must hold examples"),
        (tf.data.Dataset.from_tensors((X, Y)).repeat(), "must have an end"),
    ],
)
def test_other_data_are_told_what_is_wanted(data, told):
    with pytest.raises(ValueError, match=told):
        given(data)


def test_batches_larger_than_memory_are_told_what_to_do():
    with pytest.raises(ValueError, match="mmap_mode='r'"):
        given(Batches(), memory=0)


def test_fit_and_tuning_take_them():
    recipe = Recipe(skeleton="fc:depth=1,width=8", epochs=1, validation=0.2)
    ours = fit(recipe, dataset={"train": Batches(), "test": (X, Y)}, progress=False)
    theirs = fit(
        recipe,
        dataset=given({"train": (X, Y), "test": (X, Y)}).with_validation(0.2),
        progress=False,
    )
    assert ours.test_accuracy == theirs.test_accuracy
    assert ours.recipe["data"] == "given"
    assert ours.validation_accuracy is not None
    model = GatedHyperModel("dlgn", "fc:depth=1,width=8", data=Batches())
    assert len(model.dataset.y_validation) == round(0.2 * 48)
