"""check_arrays: what passes, and one clear line for everything else."""

import numpy as np
import pytest

from dlgn_keras.data import check_arrays
from dlgn_keras.data.checks import check_same_scale, count_classes

X = np.zeros((6, 4, 4, 1), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])


def with_values(*values):
    x = X.copy()
    x.flat[: len(values)] = values
    return x


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 2), (6, 4, 4, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64"])
def test_good_arrays_pass_unchanged(shape, dtype):
    given = np.ones(shape, dtype)
    x, y = check_arrays(given, Y.astype("uint8"), 3)
    assert x is given
    assert y.dtype == np.int64
    assert y.tolist() == Y.tolist()


def test_a_column_of_labels_becomes_a_vector():
    _, y = check_arrays(X, Y[:, None], 3)
    assert y.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (with_values(np.nan), Y, "1 NaN and 0 infinite of 96 values"),
        (with_values(np.nan, np.inf, -np.inf), Y, "1 NaN and 2 infinite of 96"),
        (X.astype(complex), Y, "dtype complex128"),
        (X.astype(object), Y, "dtype object"),
        (X > 0, Y, "dtype bool"),
        (X[:, 0, 0, 0], Y, r"Received: shape \(6,\)"),
        (X[..., None], Y, r"Received: shape \(6, 4, 4, 1, 1\)"),
        (X[:0], Y[:0], r"Received: shape \(0, 4, 4, 1\)"),
        (X[:5], Y, "Received: 5 inputs and 6 labels"),
        (X, Y.astype(float), "dtype float64"),
        (X, np.array(list("abcdef")), "dtype <U1"),
        (X, Y - 1, "from 0 to 2. Received: labels from -1 to 1"),
        (X, Y + 1, "from 0 to 2. Received: labels from 1 to 3"),
        (X, np.eye(3, dtype=int)[Y], r"shape \(6, 3\). One-hot rows"),
        (X, np.eye(3, dtype="float32")[Y], r"One-hot rows.*: y.argmax\(axis=1\)"),
        (X, Y.astype(float), r"If they name classes: y.astype\('int64'\)"),
        (X, np.array(list("abcdef")), r"np.unique\(y, return_inverse=True\)\[1\]"),
        (X.astype(float) - 1e300, Y, "finite in float32.*a value of 1e\\+300"),
        (X, Y[:0], r"Received: shape \(0,\)"),
    ],
)
def test_bad_arrays_get_one_line(x, y, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_arrays(x, y, 3)
    assert "\n" not in str(caught.value)


def test_messages_name_the_arrays_as_the_caller_calls_them():
    with pytest.raises(ValueError, match=r"^`x_test` must hold finite"):
        check_arrays(with_values(np.nan), Y, 3, x_name="x_test")
    with pytest.raises(ValueError, match=r"^`y_test` must hold class numbers"):
        check_arrays(X, -Y, 3, y_name="y_test")


def test_an_open_number_of_classes_still_refuses_negative_labels():
    check_arrays(X, Y + 1000)
    with pytest.raises(ValueError, match="from 0 upwards"):
        check_arrays(X, Y - 1)


@pytest.mark.parametrize("stray", [10**9, 2**62, 2**63, 2**64 - 1])
def test_a_stray_label_is_told_as_it_is(stray):
    y = np.array([*Y[:-1], stray], "uint64")
    with pytest.raises(ValueError, match=f"labels from 0 to {stray}.$"):
        check_arrays(X, y)


def test_classes_are_counted_unless_most_of_them_are_missing():
    assert count_classes(np.arange(100)) == 100
    assert count_classes(np.array([4, 7])) == 8
    with pytest.raises(ValueError, match="3 different labels from 0 to 17"):
        count_classes(np.array([0, 1, 17]))


PIXELS = np.arange(256, dtype="uint8").reshape(16, 4, 4, 1)
SCALED = PIXELS / np.float32(255)


@pytest.mark.parametrize(
    ("one", "other", "mixed"),
    [
        (PIXELS, SCALED, True),
        (PIXELS, 4 * SCALED - 2, True),  # mean 0, deviation 1
        (PIXELS.astype("float32"), SCALED, True),
        (PIXELS.astype("float64"), 4 * SCALED - 2, True),
        (PIXELS // 16, SCALED, True),
        (PIXELS // 64, SCALED / 4, True),
        (PIXELS, PIXELS // 16, False),  # dark
        (PIXELS, 0 * SCALED, False),  # black
        (PIXELS, PIXELS + 0.5, False),
        (SCALED, SCALED / 20, False),
        (PIXELS // 16, 4 * SCALED, False),
        (1000 * SCALED, SCALED, False),  # an outlier of a table
    ],
)
def test_mixed_scales_are_refused_and_nothing_else(one, other, mixed):
    for x, y in ((one, other), (other, one)):
        if not mixed:
            check_same_scale(x, y, "x_train", "x_test")
            continue
        with pytest.raises(ValueError, match="`x_train` and `x_test` must be on one"):
            check_same_scale(x, y, "x_train", "x_test")
