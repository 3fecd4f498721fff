"""The kernel recursion in NumPy, a few rows of positions at a time.

It computes the same sums as `Recursion`, in an order that stays inside a processor's
cache: a convolution and its gate are one pass over the state, and states with separate
channels are changed in place.
"""

from typing import Any

import numpy as np

from dlgn_keras.kernels.plan import Needs, Plan
from dlgn_keras.kernels.recursion import Kept, Recursion, Side, wrap
from dlgn_keras.skeletons import Conv, Residual, Stage
from dlgn_keras.skeletons.window import Window

# Entries of a few rows: 256 KiB in float64; three such arrays are in use at a time.
ROW_ENTRIES = 2**15


class BlockedRecursion(Recursion):
    """`Recursion` with convolutions and gates overridden, NumPy only."""

    def __init__(self, plan: Plan, left: Side, right: Side) -> None:
        super().__init__(plan, left, right, np)

    def through(self, stage: Stage, state: Kept, needs: Needs) -> Kept:
        large = state.pairs and needs.pairs and state.rank > 0
        if large and isinstance(stage, Conv) and stage.groups == 1:
            if not (stage.gated and needs.apart):
                return self.convolve(stage, self.total(state))
        if large and isinstance(stage, Residual) and stage.gated:
            one, other = self.branches(stage, state, needs)
            if len(one.values) > 1 or len(other.values) > 1 or needs.apart:
                return self.gated_sum(stage, one, other, needs.apart)
            return self.gate(self.sum(one, other), *self.gates(stage), needs)
        return super().through(stage, state, needs)

    def convolve(self, stage: Conv, state: Kept) -> Kept:
        """Return the state after a convolution and its gate, if it has one."""
        values = state.values[0]  # (*positions, a, *positions', b)
        rank, window = state.rank, stage.window
        axes = [axis - 1 for axis in self.position_axes(state)]
        if window.padding == "circular":
            for k in range(rank):
                values = wrap(values, tuple(axes[k::rank]), window)
            window = window._replace(padding="valid")
        positions = [window.out_length(size) for size in values.shape[:rank]]
        a, b = values.shape[rank], values.shape[-1]
        result = np.empty((*positions, a, *positions, b))
        gates = columns = None
        if stage.gated:
            gates, right = self.gates(stage)
            right = np.moveaxis(right, -1, 0)
            columns = np.ascontiguousarray(right).reshape(len(right), -1)
        step = max(1, ROW_ENTRIES * positions[0] // result.size)
        for first in range(0, positions[0], step):
            rows = first, min(first + step, positions[0])
            part = offset_rows(values, (axes[0], axes[rank]), window, rows)
            for k in range(1, rank):
                part = self.offset_sum(part, (axes[k], axes[rank + k]), window)
            if self.plan.fan_in[stage.name] > 1:
                part /= self.plan.fan_in[stage.name]
            if stage.name in self.plan.biases:
                part += 1.0
            target = result[rows[0] : rows[1]]
            if gates is not None and columns is not None:
                chosen = gates[rows[0] : rows[1]].reshape(-1, len(columns))
                np.matmul(chosen, columns, out=target.reshape(len(chosen), -1))
                target *= part
            else:
                target[...] = part
        copies = 1 if stage.gated else stage.filters
        return state._replace(values=result[None], copies=copies)

    def gated_sum(self, stage: Residual, one: Kept, other: Kept, apart: bool) -> Kept:
        """Add two branches and multiply by the gates, channel by channel."""
        one, other = self.channels(one), self.channels(other)
        left, right = self.gates(stage)
        channels = left.shape[-1]
        result: np.ndarray | None = None
        for c in range(channels):
            cut = slice(c, c + 1)
            values = self.product(left[..., cut], right[..., cut], one)
            both = one.values[cut] if len(one.values) > 1 else one.values
            both = both + (other.values[cut] if len(other.values) > 1 else other.values)
            if result is None:
                result = np.zeros((channels if apart else 1, *both.shape[1:]))
            if apart:
                np.multiply(values, both, out=result[cut])
            else:
                both *= values
                result += both
        return one._replace(values=result, copies=1)

    def offset_sum(self, values: Any, axes: tuple[int, ...], window: Window) -> Any:
        if window.padding == "circular":
            values = wrap(values, axes, window)
            window = window._replace(padding="valid")
        length = window.out_length(values.shape[axes[0]])
        return offset_rows(values, axes, window, (0, length))


def offset_rows(
    values: np.ndarray, axes: tuple[int, ...], window: Window, rows: tuple[int, int]
) -> np.ndarray:
    """Return the offset sum at some positions of the first axis, all of the others.

    Adds every offset into one array, without a padded copy.
    """
    size, (first, last) = values.shape[axes[0]], rows
    before, strides = window.pads(size)[0], window.strides
    length = window.out_length(size)
    shape = list(values.shape)
    for axis in axes:
        shape[axis] = length
    shape[axes[0]] = last - first
    total = np.zeros(shape, values.dtype)
    for j in window.offsets:
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
