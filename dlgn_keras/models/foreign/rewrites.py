"""Other spellings of what the reader knows, written out in layers that it knows."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from dlgn_keras.models.foreign.calls import Refusal
from dlgn_keras.models.foreign.kinds import MAX_POOLS

EXTREMES = {"Maximum": 1, "Minimum": -1, "Max": 1, "Amax": 1, "Min": -1, "Amin": -1}


def rewritten(node: Any, shapes: list[tuple[int, ...]]) -> keras.Model | None:
    """Return a model of known layers that computes what a node does, or None.

    Args:
        node: of Keras' record of a graph.
        shapes: of its tensors, without the batch.

    Raises:
        Refusal: there would be one if the tensors had one shape.
    """
    operation, tensors = node.operation, node.arguments.keras_tensors
    kind = type(operation).__name__
    if not type(operation).__module__.startswith("keras."):
        return None
    inputs = [
        keras.Input(shape, dtype=tensor.dtype)
        for shape, tensor in zip(shapes, tensors, strict=True)
    ]
    x, shape, dtype = inputs[0], shapes[0], tensors[0].dtype
    if kind in ("Maximum", "Minimum"):
        if len(inputs) > 1:
            return keras.Model(inputs, _extreme_of(inputs, EXTREMES[kind], dtype))
        made = _bounded(x, node.arguments.args, EXTREMES[kind])
    elif kind in EXTREMES:
        made = _extreme_along(x, operation, EXTREMES[kind], dtype)
    elif kind == "MaxPool":
        pool = getattr(layers, f"MaxPooling{len(shape) - 1}D")
        names = ("pool_size", "strides", "padding", "data_format")
        numbers = {name: getattr(operation, name) for name in names}
        made = pool(**numbers, dtype=dtype, name="pool")(x)
    elif kind == "Pad" and _is_for_max_pooling(node):
        made = _repeating_the_edges(x, operation.pad_width)
    elif kind == "Reshape" and node.outputs[0].shape[0] is not None:
        batch, *target = node.outputs[0].shape
        made = None
        if batch == tensors[0].shape[0]:  # one that is fixed
            made = layers.Reshape(target, dtype=dtype)(x)
    else:
        return None
    return None if made is None else keras.Model(x, made)


def _is_for_max_pooling(node: Any) -> bool:
    """Return whether a pad with -inf is for windows that hold entries of the image."""
    pads = node.operation.pad_width
    low = node.arguments.kwargs.get("constant_values")
    if low is None or not np.isneginf(low).all() or any(pads[0]):
        return False
    readers = [reader.operation for reader in node.operation._outbound_nodes]
    for reader in readers:
        if type(reader) not in MAX_POOLS or reader.padding != "valid":
            return False
        first = reader.data_format == "channels_first"
        around = pads[2:] if first else pads[1:-1]
        channels = pads[1] if first else pads[-1]
        if any(channels) or any(
            max(pair) >= size
            for pair, size in zip(around, reader.pool_size, strict=True)
        ):
            return False
    return bool(readers)


def _repeating_the_edges(x: Any, pads: Any) -> Any:
    """Pad with the entries at the edges: a window's maximum is as with -inf.

    It is linear, and each window that reaches over an edge holds the entry there.
    """
    for axis, (before, after) in enumerate(pads):
        if before or after:
            first, last = (
                ops.take(x, [place], axis=axis) for place in (0, x.shape[axis] - 1)
            )
            x = ops.concatenate([first] * before + [x] + [last] * after, axis=axis)
    return x


def _extreme_of(tensors: list, sign: int, dtype: str) -> Any:
    """Return the largest of tensors, entry by entry; with sign -1 the smallest."""
    shapes = {tuple(x.shape[1:]) for x in tensors}
    if len(shapes) > 1:
        listed = ", ".join(str(shape) for shape in sorted(shapes))
        raise Refusal(f"compares shapes {listed}: bring its inputs to one shape")
    columns = [layers.Reshape((-1, 1), dtype=dtype)(x) for x in tensors]
    x = layers.Concatenate(dtype=dtype)(columns)
    return layers.Reshape(shapes.pop(), dtype=dtype)(_largest(x, sign, dtype))


def _extreme_along(x: Any, operation: Any, sign: int, dtype: str) -> Any:
    """Return the largest or smallest entries along axes; None across the batch."""
    axes = range(x.ndim) if operation.axis is None else operation.axis
    axes = [range(x.ndim)[k] for k in axes]
    if 0 in axes or getattr(operation, "initial", None) is not None:
        return None
    rest = [k for k in range(1, x.ndim) if k not in axes]
    target = [x.shape[k] for k in rest]
    if operation.keepdims:
        target = [1 if k in axes else x.shape[k] for k in range(1, x.ndim)]
    number = math.prod(x.shape[k] for k in axes)
    x = layers.Permute(rest + axes, dtype=dtype)(x)
    x = layers.Reshape((-1, number), dtype=dtype)(x)
    return layers.Reshape(target, dtype=dtype)(_largest(x, sign, dtype))


def _largest(x: Any, sign: int, dtype: str) -> Any:
    """Return the largest entry of each row of (n, rows, places), or the smallest."""
    pool = layers.GlobalMaxPooling1D("channels_first", dtype=dtype, name="pool")
    if sign > 0:
        return pool(x)
    minus = {"scale": -1.0, "dtype": dtype}
    return layers.Rescaling(**minus)(pool(layers.Rescaling(**minus)(x)))


def _bounded(x: Any, arguments: tuple, sign: int) -> Any:
    """Return `max(x, bound)` of an array that is no number, or `min(x, bound)`."""
    bound = next(v for v in arguments if not isinstance(v, keras.KerasTensor))
    bound = np.asarray(ops.convert_to_numpy(bound), "float32")
    if not bound.ndim or ops.add(x, bound).shape != x.shape:
        return None
    above = ops.relu(ops.multiply(sign, ops.subtract(x, bound)))
    return ops.add(ops.multiply(sign, above), bound)
