"""Check that arrays can be trained on; one clear line if not."""

from typing import Any

import numpy as np


def check_arrays(
    x: Any,
    y: Any,
    num_classes: int | None = None,
    *,
    x_name: str = "x",
    y_name: str = "y",
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels as arrays, after every check that training relies on.

    Args:
        x: inputs, numbers: (n, features), (n, length, channels) or
            (n, height, width, channels).
        y: labels, integers from 0 to `num_classes - 1`: (n,), or (n, 1).
        num_classes: number of classes; None leaves the upper end open.
        x_name: name of the inputs in messages.
        y_name: name of the labels in messages.

    Returns:
        `x` as it is and `y` as an int64 vector of shape (n,).

    Raises:
        ValueError: no examples, a wrong rank or dtype, lengths that disagree, NaN
            or infinite inputs, labels that are negative or too large.

    Example:
        >>> from dlgn_keras.data import check_arrays
        >>> x, y = check_arrays([[0.5], [1.5]], [[0], [1]], num_classes=2)
        >>> x.shape, y.shape
        ((2, 1), (2,))
    """
    x, y = np.asarray(x), np.asarray(y)
    check_inputs(x, x_name)
    y = check_labels(y, num_classes, y_name)
    if len(x) != len(y):
        raise ValueError(
            f"`{x_name}` and `{y_name}` must have as many examples. "
            f"Received: {len(x)} inputs and {len(y)} labels."
        )
    return x, y


def check_inputs(x: np.ndarray, name: str = "x") -> None:
    """Raise a ValueError unless `x` holds finite numbers in a known shape."""
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating)):
        raise ValueError(
            f"`{name}` must hold integers or real floating-point numbers. "
            f"Received: dtype {x.dtype}."
        )
    if not 2 <= x.ndim <= 4 or x.size == 0:
        raise ValueError(
            f"`{name}` must be of shape (n, features), (n, length, channels) or "
            f"(n, height, width, channels), none of them 0. Received: shape {x.shape}."
        )
    if np.issubdtype(x.dtype, np.floating):
        num_bad = x.size - np.count_nonzero(np.isfinite(x))
        if num_bad:
            num_nan = np.count_nonzero(np.isnan(x))
            raise ValueError(
                f"`{name}` must hold finite numbers. Received: {num_nan} NaN and "
                f"{num_bad - num_nan} infinite of {x.size} values."
            )


def check_labels(
    y: np.ndarray, num_classes: int | None = None, name: str = "y"
) -> np.ndarray:
    """Return labels as an int64 vector, or raise a ValueError."""
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"`{name}` must hold integer class labels. Received: dtype {y.dtype}."
        )
    if y.ndim == 2 and y.shape[1] == 1:  # a column of labels, as some files have
        y = y[:, 0]
    if y.ndim != 1 or y.size == 0:
        hint = " One-hot rows must become class numbers." if y.ndim == 2 else ""
        raise ValueError(
            f"`{name}` must be a vector with one class number per example. "
            f"Received: shape {y.shape}.{hint}"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        end = "upwards" if num_classes is None else f"to {num_classes - 1}"
        raise ValueError(
            f"`{name}` must hold class numbers from 0 {end}. "
            f"Received: labels from {low} to {high}."
        )
    return y.astype(np.int64)
