"""Check inputs and labels before training."""

from typing import Any

import numpy as np

from dlgn_keras.data.stored import Stored

MOST_CLASSES = 1_000_000
PIECE = 1 << 20  # values looked at together


def check_arrays(
    x: Any,
    y: Any,
    num_classes: int | None = None,
    *,
    x_name: str = "x",
    y_name: str = "y",
) -> tuple[Any, np.ndarray]:
    """Return inputs and labels as arrays, after every check that training relies on.

    Args:
        x: inputs, numbers: (n, features), (n, length, channels) or
            (n, height, width, channels).
        y: labels, integers from 0 to `num_classes - 1`: (n,), or (n, 1).
        num_classes: number of classes; None allows a million.
        x_name: name of the inputs in messages.
        y_name: name of the labels in messages.

    Returns:
        `x` as it is and `y` as an int64 vector of shape (n,).

    Raises:
        ValueError: no examples, a wrong rank or dtype, lengths that disagree, inputs
            that are NaN or infinite in float32, labels that are negative or too large.

    Example:
        >>> from dlgn_keras.data import check_arrays
        >>> x, y = check_arrays([[0.5], [1.5]], [[0], [1]], num_classes=2)
        >>> x.shape, y.shape
        ((2, 1), (2,))
    """
    y = np.asarray(y)
    if not isinstance(x, Stored):  # those are looked at when they are read
        x = np.asarray(x)
        check_inputs(x, x_name)
    y = check_labels(y, num_classes, y_name)
    if len(x) != len(y):
        raise ValueError(
            f"`{x_name}` and `{y_name}` must have as many examples. "
            f"Received: {len(x)} inputs and {len(y)} labels."
        )
    return x, y


def check_numbers(
    x: Any,
    y: Any,
    outputs: int | None = None,
    *,
    x_name: str = "x",
    y_name: str = "y",
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, see `check_arrays`, and numbers to predict, (n, outputs) float32.

    Raises:
        ValueError: as `check_arrays`; numbers that are not finite, or of another shape
            than (n,) or (n, outputs).
    """
    y = np.asarray(y)
    y = y[:, None] if y.ndim == 1 else y
    if y.dtype.kind not in "fiu" or y.ndim != 2 or not y.size:
        raise ValueError(
            f"`{y_name}` must hold numbers, (n,) or (n, outputs). "
            f"Received: shape {y.shape}, dtype {y.dtype}."
        )
    with np.errstate(over="ignore"):
        y = y.astype(np.float32)
    if not np.isfinite(y).all():
        raise ValueError(
            f"`{y_name}` must hold numbers that are finite in float32. "
            f"Received: {np.count_nonzero(~np.isfinite(y))} of {y.size} that are not."
        )
    if outputs not in (None, y.shape[1]):
        raise ValueError(
            f"`{y_name}` must hold {outputs} numbers an example. "
            f"Received: {y.shape[1]}."
        )
    x, _ = check_arrays(x, np.zeros(len(y), int), x_name=x_name, y_name=y_name)
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
        check_float32(x, name)


def check_float32(x: np.ndarray, name: str = "x") -> None:
    """Raise a ValueError if finite numbers are infinite in float32."""
    wide = x.dtype.kind == "f" and x.dtype.itemsize > 4 and x.size > 0
    if wide and reach(x) > float(np.finfo(np.float32).max):
        raise ValueError(
            f"`{name}` must hold values that are finite in float32, in which networks "
            f"compute. Received: a value of {reach(x):.3g}."
        )


def reach(x: np.ndarray) -> float:
    """Return the largest absolute value."""
    return max(abs(float(x.min())), abs(float(x.max())))


def check_same_scale(
    x: np.ndarray, other: np.ndarray, x_name: str, other_name: str
) -> None:
    """Raise a ValueError if one of two parts was scaled and the other was not.

    So are whole numbers beside values at most an eighth as large: pixels from 0 to
    255 beside 0 to 1, or beside mean 0 and deviation 1. Where both are of one kind,
    integers or floats, the whole numbers must look like pixels: 0 to at least 16.
    """
    small, large = sorted((x, other), key=reach)
    low, high = reach(small), reach(large)
    if not 0 < low <= high / 8 or not _whole(large):
        return
    if x.dtype.kind in "iu" and other.dtype.kind in "iu":
        return  # dark pictures
    mixed_kinds = (x.dtype.kind in "iu") != (other.dtype.kind in "iu")
    pixels = high >= 16 and large.min() >= 0 and not _whole(small)
    if mixed_kinds or pixels:
        here, there = (
            f"{part.dtype} {part.min():g} to {part.max():g}" for part in (x, other)
        )
        raise ValueError(
            f"`{x_name}` and `{other_name}` must be on one scale: scale both, or none. "
            f"Received: {x_name} of {here}, {other_name} of {there}."
        )


def _whole(x: np.ndarray) -> bool:
    """Return whether all values are whole numbers; stop at the first failing piece."""
    if x.dtype.kind in "iu":
        return True
    flat = x.reshape(-1)
    pieces = (flat[k : k + PIECE] for k in range(0, flat.size, PIECE))
    return all(np.array_equal(piece, np.floor(piece)) for piece in pieces)


def count_classes(labels: np.ndarray, name: str = "y") -> int:
    """Return the number of classes that checked labels name: the highest plus one.

    Raises:
        ValueError: most of these classes have no example, as with a stray label.
    """
    num, known = int(labels.max()) + 1, len(np.unique(labels))
    if num > 2 * known + 10:
        raise ValueError(
            f"`{name}` must number its classes from 0, without large gaps: "
            f"np.unique({name}, return_inverse=True)[1]. Received: {known} different "
            f"labels from {labels.min()} to {labels.max()}."
        )
    return num


def check_labels(
    y: np.ndarray, num_classes: int | None = None, name: str = "y"
) -> np.ndarray:
    """Return labels as an int64 vector, or raise a ValueError."""
    if y.ndim == 2 and y.shape[1] == 1:  # a column of labels, as some files have
        y = y[:, 0]
    if y.ndim != 1 or y.size == 0:
        rows = y.ndim == 2 and y.size > 0
        how = f" One-hot rows must become class numbers: {name}.argmax(axis=1)."
        raise ValueError(
            f"`{name}` must be a vector with one class number per example. "
            f"Received: shape {y.shape}.{how if rows else ''}"
        )
    if not np.issubdtype(y.dtype, np.integer):
        how = f"{name}.astype('int64')"
        if y.dtype.kind not in "fb":
            how = f"np.unique({name}, return_inverse=True)[1]"
        raise ValueError(
            f"`{name}` must hold integer class labels. Received: dtype {y.dtype}. "
            f"If they name classes: {how}."
        )
    low, high = int(y.min()), int(y.max())
    limit = MOST_CLASSES if num_classes is None else num_classes
    if low < 0 or high >= limit:
        end = "upwards" if num_classes is None and low < 0 else f"to {limit - 1}"
        raise ValueError(
            f"`{name}` must hold class numbers from 0 {end}. "
            f"Received: labels from {low} to {high}."
        )
    return y.astype(np.int64)
