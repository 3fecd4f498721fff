"""check_arrays: what passes, and one clear line for everything else."""

import numpy as np
import pytest

from dlgn_keras.data import check_arrays

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
