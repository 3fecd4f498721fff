"""Offset sums and window means over axes that move together.

A convolution adds `M(s u + j, s u' + j)` over its kernel's offsets j: both
positions move by the same step, so the sum separates into one pass per image
axis, each over a pair of array axes. Without pairs (diagonal states) the same
sums run over one axis. `xp` is `numpy` or `keras.ops`.
"""

from typing import Any

import numpy as np

from dlgn_keras.skeletons.window import Window


def wrap(values: Any, axes: tuple[int, ...], window: Window, xp: Any = np) -> Any:
    """Extend the axes circularly by the amounts that "same" pads with zeros."""
    size = values.shape[axes[0]]
    before, after = window.pads(size)
    wrapped = np.arange(-before, size + after) % size
    for axis in axes if before + after else ():
        values = xp.take(values, wrapped, axis=axis)
    return values


def offset_sum(values: Any, axes: tuple[int, ...], window: Window, xp: Any = np) -> Any:
    """Return `sum_j values[s y + j - p]`, the index on all `axes` at once.

    Args:
        values: array; the named axes have one size.
        axes: the axes that move together.
        window: the windows of the convolution along this image axis.
        xp: array namespace, `numpy` or `keras.ops`.
    """
    if window.padding == "circular":
        values = wrap(values, axes, window, xp)
        window = window._replace(padding="valid")
    size = values.shape[axes[0]]
    length = window.out_length(size)
    if xp is np:
        return offset_rows(values, axes, window, (0, length))
    before, after = window.pads(size)
    if before + after:
        ends = [(before, after) if k in axes else (0, 0) for k in range(values.ndim)]
        values = xp.pad(values, ends)
    total: Any = 0
    for j in range(window.size):
        stop = j + window.strides * (length - 1) + 1
        total = total + values[_cut(values, axes, slice(j, stop, window.strides))]
    return total


def offset_rows(
    values: np.ndarray, axes: tuple[int, ...], window: Window, rows: tuple[int, int]
) -> np.ndarray:
    """Return the offset sum at some positions of its first axis, and all others.

    NumPy only: adds every offset into one array, without a padded copy.
    """
    size, (first, last) = values.shape[axes[0]], rows
    before, strides = window.pads(size)[0], window.strides
    length = window.out_length(size)
    shape = list(values.shape)
    for axis in axes:
        shape[axis] = length
    shape[axes[0]] = last - first
    total = np.zeros(shape, values.dtype)
    for j in range(window.size):
        # positions whose source s y + j - before lies on the image
        low = max(0, -((j - before) // strides))
        high = min(length, (size - 1 + before - j) // strides + 1)
        source, target = [slice(None)] * total.ndim, [slice(None)] * total.ndim
        for axis in axes:
            a, b = (first, last) if axis == axes[0] else (0, length)
            start, stop = max(low, a), min(high, b)
            if start >= stop:
                break
            begin = strides * start + j - before
            source[axis] = slice(begin, begin + strides * (stop - start), strides)
            target[axis] = slice(start - a, stop - a)
        else:
            total[tuple(target)] += values[tuple(source)]
    return total


def window_mean(values: Any, axis: int, size: int, xp: Any = np) -> Any:
    """Return the means of windows of `size`, side by side, a rest cut off."""
    shape = tuple(values.shape)
    length = shape[axis] // size
    values = values[_cut(values, (axis,), slice(0, length * size))]
    split = (*shape[:axis], length, size, *shape[axis + 1 :])
    return xp.sum(xp.reshape(values, split), axis=axis + 1) / size


def _cut(values: Any, axes: tuple[int, ...], part: slice) -> tuple[slice, ...]:
    """Return an index that takes one slice on all the named axes."""
    return tuple(part if k in axes else slice(None) for k in range(len(values.shape)))
