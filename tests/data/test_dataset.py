"""Dataset: parts that are disjoint, balanced and checked."""

import dataclasses

import numpy as np
import pytest

from dlgn_keras.data import Dataset, Preprocessing, load


def numbered(num_train=60, num_test=30, num_classes=3, **changes):
    """A data set whose inputs are all different: the example's own number."""
    numbers = np.arange(num_train + num_test)
    x, y = numbers.astype(np.float32)[:, None], numbers % num_classes
    fields = {
        "name": "numbers",
        "x_train": x[:num_train],
        "y_train": y[:num_train],
        "x_test": x[num_train:],
        "y_test": y[num_train:],
        "num_classes": num_classes,
    }
    return Dataset(**(fields | changes))


def examples(dataset, split):
    x, y = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
    return set(zip(x[:, 0].astype(int).tolist(), y.tolist(), strict=True))


def test_validation_is_taken_from_train_and_never_from_test():
    whole = numbered()
    parts = whole.with_validation(0.25, seed=1)
    assert parts.splits == ("train", "validation", "test")
    train, validation = examples(parts, "train"), examples(parts, "validation")
    assert train | validation == examples(whole, "train")
    assert not train & validation
    assert examples(parts, "test") == examples(whole, "test")
    assert np.bincount(parts.y_validation).tolist() == [5, 5, 5]


def test_validation_size_may_be_a_number_of_examples():
    assert len(numbered().with_validation(7).y_validation) == 7
    assert len(numbered().with_validation(np.int64(7)).y_validation) == 7


def test_validation_depends_on_the_seed_alone():
    def chosen(seed):
        return examples(numbered().with_validation(0.5, seed=seed), "validation")

    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


@pytest.mark.parametrize("size", [0, 0.0, 1.0, 1.5, 60, -1, 0.001, True, float("nan")])
def test_a_validation_part_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match="`size` must be a share between 0 and 1"):
        numbered().with_validation(size)


def test_a_second_validation_part_is_refused():
    with pytest.raises(ValueError, match="without a validation part"):
        numbered().with_validation(0.5).with_validation(0.5)


def test_take_keeps_the_first_of_each_class_and_the_rest_as_it_is():
    whole = numbered()
    small = whole.take(7, 6)
    assert examples(small, "train") == {(i, i % 3) for i in range(7)}
    assert examples(small, "test") == {(60 + i, i % 3) for i in range(6)}
    assert examples(whole.take(7), "test") == examples(whole, "test")
    parts = whole.with_validation(0.5).take(num_validation=9)
    assert np.bincount(parts.y_validation).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"num_train": 0},
            "from 1 to the 60 examples there are. Received: num_train=0",
        ),
        ({"num_train": 61}, "Received: num_train=61"),
        ({"num_test": 1.5}, "Received: num_test=1.5"),
        ({"num_test": True}, "Received: num_test=True"),
        ({"num_validation": 1}, "the 0 examples there are"),
    ],
)
def test_take_refuses_more_than_there_is(arguments, message):
    with pytest.raises(ValueError, match=message):
        numbered().take(**arguments)


def test_binary_keeps_two_classes_with_labels_in_the_order_given():
    digits = load("digits")
    pair = digits.binary((7, 4))
    for split in ("train", "test"):
        y, two = getattr(digits, f"y_{split}"), getattr(pair, f"y_{split}")
        x, pixels = getattr(digits, f"x_{split}"), getattr(pair, f"x_{split}")
        sevens = [image.tobytes() for image in x[y == 7]]
        assert [image.tobytes() for image in pixels[two == 0]] == sevens
        assert two.sum() == (y == 4).sum()
        assert two.dtype == np.int64
    assert pair.class_names == ("7", "4")
    assert (pair.name, pair.num_classes) == ("digits-7-vs-4", 2)
    assert pair.preprocessing == digits.preprocessing
    twin = digits.binary((4, 7))
    assert twin.y_train.tolist() != pair.y_train.tolist()


@pytest.mark.parametrize("classes", [(4, 4), (4, 10), (-1, 4), (1, 2, 3), (4,)])
def test_binary_refuses_what_are_no_two_classes(classes):
    with pytest.raises(ValueError, match="`classes` must be two different numbers"):
        load("digits").binary(classes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x_test": np.zeros((30, 2))},
            r"`x_test` must be shaped like x_train, \(n, 1",
        ),
        ({"x_train": np.full((60, 1), np.nan)}, "`x_train` must hold finite"),
        ({"y_test": np.full(30, 3)}, "`y_test` must hold class numbers from 0 to 2"),
        ({"y_train": np.zeros(59, int)}, "`x_train` and `y_train` must have as many"),
        ({"num_classes": 1}, "`num_classes` must be at least 2"),
        ({"class_names": ("a", "b")}, "`class_names` must hold 3 names"),
        ({"x_validation": np.zeros((3, 1))}, "must be given together"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        numbered(**changes)


def test_a_data_set_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        numbered().name = "other"


def test_repr_tells_sizes_and_not_arrays():
    assert repr(numbered()) == (
        "Dataset('numbers', 60 train, 30 test, input (1,), 3 classes)"
    )


def test_defaults_are_numbered_classes_and_no_preprocessing():
    assert numbered().class_names == ("0", "1", "2")
    assert numbered().preprocessing == Preprocessing()


PIXELS = np.arange(60 * 4, dtype="uint8").reshape(60, 2, 2, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 10**9}, "at most 1000000. Received: num_classes=1000000000"),
        ({"num_classes": 3.0}, "num_classes=3.0"),
        ({"x_test": PIXELS[:30] / 255}, "`x_train` and `x_test` must be on one scale"),
        ({"x_validation": PIXELS[:9] / 255}, "`x_train` and `x_validation` must be on"),
        ({"x_train": PIXELS / 255, "x_test": PIXELS[:30] / 255}, "give raw values"),
    ],
)
def test_parts_and_preprocessing_are_on_one_scale(changes, message):
    given = {
        "x_train": PIXELS,
        "x_test": PIXELS[:30],
        "x_validation": PIXELS[:9],
        "y_validation": np.arange(9) % 3,
        "preprocessing": Preprocessing(1 / 255, raw_range=(0, 255)),
    }
    numbered(**given)
    with pytest.raises(ValueError, match=message):
        numbered(**(given | changes))
