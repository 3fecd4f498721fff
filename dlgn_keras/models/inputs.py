"""Convert and check a model's raw inputs, and predict them in batches."""

from typing import Any

import keras
import numpy as np

from dlgn_keras.data.checks import check_same_scale
from dlgn_keras.tools.messages import check_count


def check_inputs(x: Any, input_shape: tuple, name: str = "x") -> np.ndarray:
    """Return `x` as an array; raise a ValueError if it does not fit the model."""
    input_shape = tuple(input_shape)
    x = np.asarray(inputs_of(x, input_shape, name))
    if x.shape[1:] != input_shape or not x.ndim or not len(x):
        raise ValueError(
            f"`{name}` must have shape (n, {', '.join(map(str, input_shape))}), n at "
            f"least 1. Received: {name} of shape {x.shape}."
            f"{_missing_axes(name, x.shape, input_shape)}"
        )
    if x.dtype.kind not in "fiub":
        raise ValueError(
            f"`{name}` must be numbers. Received: {name} of dtype {x.dtype}."
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(
            x.astype("float32", copy=False) if x.dtype.kind == "f" else 0
        )
    if not finite.all():
        bad = int((~finite).sum())
        raise ValueError(
            f"`{name}` must be finite. Received: {name} with {bad} NaN or infinite "
            "in float32."
        )
    return x


def check_validation(x: Any, held: Any) -> None:
    """Raise a ValueError where arrays of `validation_data` are on another scale."""
    held = held[0] if isinstance(held, list | tuple) and held else None
    if isinstance(x, np.ndarray) and isinstance(held, np.ndarray):
        if x.dtype.kind in "fiu" and held.dtype.kind in "fiu" and x.size and held.size:
            check_same_scale(x, held, "x", "validation_data")


def _missing_axes(name: str, shape: tuple, input_shape: tuple) -> str:
    """Return a hint where a batch or a channel axis is missing, else nothing."""
    hints = (
        (shape, "None", "One example needs a batch axis"),
        ((*shape[1:], 1), "..., None", "Add the channel axis"),
        ((*shape, 1), "None, ..., None", "Add the batch and the channel axis"),
    )
    found = (f" {why}: {name}[{at}]." for s, at, why in hints if s == input_shape)
    return next(found, "")


def inputs_of(x: Any, input_shape: tuple, name: str = "x") -> Any:
    """Return the inputs of a tf.data.Dataset or a PyDataset as an array; else `x`.

    Raises:
        ValueError: an infinite data set.
    """
    if isinstance(x, keras.utils.PyDataset):
        endless = x.num_batches is None
        batches: Any = () if endless else (x[k] for k in range(x.num_batches))
    elif hasattr(x, "as_numpy_iterator"):
        endless = int(x.cardinality()) == -1
        batches = x.as_numpy_iterator()
    else:
        return x
    if endless:
        raise ValueError(f"`{name}` must be a data set with an end. Received: {x!r}.")
    parts = [b[0] if isinstance(b, list | tuple) else b for b in batches]
    parts = [np.asarray(part) for part in parts]
    if not parts:
        raise ValueError(f"`{name}` must hold an example. Received: none in {x!r}.")
    join = np.stack if parts[0].shape == input_shape else np.concatenate
    return join(parts)


def predict_arrays(model: keras.Model, inputs: Any, batch_size: int) -> Any:
    """Return `model.predict(inputs, batch_size)`, without the cost of its set-up.

    `predict` builds a data pipeline on every call. Under TensorFlow that takes some
    90 ms, most of the time of reading a few examples.

    Args:
        model: any Keras model.
        inputs: an array (n, ...), or a structure of such arrays, n at least 1.
        batch_size: number of examples per forward pass.

    Raises:
        ValueError: a batch size that is not a whole number of at least 1.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 8), (5,), num_classes=3, seed=0)
        >>> x = np.ones((4, 5), "float32")
        >>> dk.models.predict_arrays(net, x, batch_size=2).shape
        (4, 3)
    """
    check_count("batch_size", batch_size)
    count = len(keras.tree.flatten(inputs)[0])
    parts = []
    for start in range(0, count, batch_size):
        rows = slice(start, start + batch_size)
        part = keras.tree.map_structure(lambda a, rows=rows: a[rows], inputs)
        parts.append(model.predict_on_batch(part))
    return keras.tree.map_structure(lambda *part: np.concatenate(part), *parts)
