"""The exact neural path kernel between two blocks of examples.

The state is the inner product of the two examples' path features up to a stage,
`M_c(u, u')` for channel c at positions u and u'. A weight layer sums over channels,
since paths through different channels differ, and a convolution also over the offsets
of its kernel; a gate multiplies by `G_c(u) G'_c(u')`; pooling takes means over both
positions; a residual block adds its branches; a bias adds 1, for a path that starts
there. Path features contain no weights: weights and batch norm's scales count as 1.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.kernels.plan import Needs, Plan
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Stage,
    walk,
)
from dlgn_keras.skeletons.rules import StageRules
from dlgn_keras.skeletons.window import Window


class Side(NamedTuple):
    """Examples arranged for the recursion: the example axis follows the positions.

    inputs: (*positions, n, channels), the value network's inputs.
    gates: {site: (*positions, n, channels)}; those of a max pooling are at the
        positions of its input that windows cover.
    """

    inputs: Any
    gates: dict[str, Any]

    def part(self, rows: slice) -> "Side":
        """Return some of the examples."""
        cut = (..., rows, slice(None))
        return Side(self.inputs[cut], {s: g[cut] for s, g in self.gates.items()})


class Kept(NamedTuple):
    """The state after a stage.

    values: (K, *positions, a, *positions', b), or (K, *positions, a, b) where only
        equal positions are kept. K is the number of channels, of groups, or 1.
    copies: number of channels that each of the K entries stands for. With K = 1: all
        channels if they are equal, 1 if the entry is their sum. After a grouped
        convolution: the channels of one group.
    rank: number of position axes.
    pairs: whether positions are kept in pairs.
    """

    values: Any
    copies: int
    rank: int
    pairs: bool


def arrange(inputs: Any, gates: dict[str, Any], plan: Plan, dtype: Any) -> Side:
    """Return examples-first arrays as a Side, with a leading Flatten applied."""

    def move(array: Any) -> np.ndarray:
        moved = np.moveaxis(np.asarray(array, dtype), 0, -2)
        return np.ascontiguousarray(moved)

    inputs = np.reshape(inputs, (len(inputs), *plan.input_shape))
    pools = {s.name: s for s in walk(plan.stages) if s.selects}
    at_inputs = {
        site: _at_inputs(gates[site], pools[site]) if site in pools else gates[site]
        for site in plan.sites
    }
    return Side(move(inputs), {site: move(gate) for site, gate in at_inputs.items()})


def _at_inputs(selection: Any, pool: Stage) -> np.ndarray:
    """Return gates (n, *pooled, channels, entries) as (n, *image, channels)."""
    n, *pooled, channels, _ = np.shape(selection)
    rank, size = len(pooled), pool.window.size
    split = np.reshape(selection, (n, *pooled, channels, *(size,) * rank))
    pairs = [k for axis in range(rank) for k in (1 + axis, 2 + rank + axis)]
    image = [size * length for length in pooled]
    return np.transpose(split, (0, *pairs, 1 + rank)).reshape(n, *image, channels)


class Recursion:
    """The recursion in plain array operations: `xp` is `numpy` or `keras.ops`."""

    def __init__(self, plan: Plan, left: Side, right: Side, xp: Any) -> None:
        self.plan, self.left, self.right, self.xp = plan, left, right, xp

    def run(self) -> Any:
        """Return the kernel of every left example with every right example.

        Returns:
            array (a, b), in the dtype of the sides.
        """
        plan = self.plan
        rank, pairs = len(plan.input_shape) - 1, plan.start.pairs
        empty = Kept(None, 1, rank, pairs)
        product = self.product if plan.start.apart else self.overlap
        state = empty._replace(
            values=product(self.left.inputs, self.right.inputs, empty)
        )
        state = self.weigh(self.along(plan.stages, state), "logits", 1)
        return state.values[0]

    def along(self, stages: tuple[Stage, ...], state: Kept) -> Kept:
        for stage in stages:
            state = self.through(stage, state, self.plan.needs[stage.name])
        return state

    def through(self, stage: Stage, state: Kept, needs: Needs) -> Kept:
        """Return the state after a stage and its gate."""
        state = AFTER(stage, self, state, needs)
        if stage.selects or not stage.gated:
            return state
        return self.gate(state, *self.gates(stage), needs)

    def gates(self, stage: Stage) -> tuple[Any, Any]:
        return self.left.gates[stage.name], self.right.gates[stage.name]

    def weigh(
        self, state: Kept, name: str, units: int, conv: Conv | None = None
    ) -> Kept:
        """Sum over the inputs of a weight layer; the outputs of a group are equal."""
        groups = 1 if conv is None else conv.groups
        state = self.total(state) if groups == 1 else self.grouped(state, groups)
        values = state.values
        if conv is not None:
            axes = self.position_axes(state)
            for k in range(state.rank):
                values = self.offset_sum(values, axes[k :: state.rank], conv.window)
        if self.plan.fan_in[name] > 1:
            values = values / self.plan.fan_in[name]
        if name in self.plan.biases:
            values = values + 1.0
        return state._replace(values=values, copies=units // values.shape[0])

    def gate(self, state: Kept, left: Any, right: Any, needs: Needs) -> Kept:
        """Multiply by the gates of both examples, channel by channel."""
        if needs.apart:
            values = self.channels(state).values * self.product(left, right, state)
            return state._replace(values=values, copies=1)
        number = state.values.shape[0]
        alike = left.shape[-1] // number
        total: Any = 0
        for k in range(number):
            some = slice(k * alike, (k + 1) * alike)
            gates = self.overlap(left[..., some], right[..., some], state)
            total = total + state.values[k : k + 1] * gates
        return state._replace(values=total, copies=1)

    def sum(self, one: Kept, other: Kept) -> Kept:
        """Add the branches of a block: every path runs through one of them."""
        if 1 < len(one.values) != len(other.values) > 1:
            one, other = self.channels(one), self.channels(other)
        copies = min(one.copies, other.copies)
        return one._replace(values=one.values + other.values, copies=copies)

    def branches(self, stage: Residual, state: Kept, needs: Needs) -> list[Kept]:
        """Return the states after a block's body and shortcut, in the same layout."""
        branches = []
        for stages in (stage.body, stage.shortcut):
            branch = self.along(stages, state)
            if not needs.pairs:
                branch = self.diagonal(branch)
            if not (needs.apart or stage.gated):
                branch = self.total(branch)
            branches.append(branch)
        return branches

    def channels(self, state: Kept) -> Kept:
        """Expand to one value per channel; a single value for all channels stays."""
        if state.values.shape[0] == 1 or state.copies == 1:
            return state
        values = self.xp.repeat(state.values, state.copies, axis=0)
        return state._replace(values=values, copies=1)

    def grouped(self, state: Kept, groups: int) -> Kept:
        """Return the sums over the channels of each group."""
        if state.values.shape[0] == 1:  # all channels are equal, and so are groups
            values = state.values * (state.copies // groups)
            return state._replace(values=values, copies=1)
        values = self.channels(state).values
        size = values.shape[0] // groups
        split = self.xp.reshape(values, (groups, size, *values.shape[1:]))
        return state._replace(values=self.xp.sum(split, axis=1), copies=1)

    def total(self, state: Kept) -> Kept:
        """Return the sum over channels."""
        values = state.values
        if values.shape[0] > 1:
            values = self.xp.sum(values, axis=0, keepdims=True)
        if state.copies > 1:
            values = values * state.copies
        return state._replace(values=values, copies=1)

    def diagonal(self, state: Kept) -> Kept:
        """Keep equal positions only: stages after a Flatten read no others."""
        if not state.pairs or state.rank == 0:
            return state._replace(pairs=state.rank == 0)
        shape, rank = state.values.shape, state.rank
        positions, a, b = shape[1 : 1 + rank], shape[1 + rank], shape[-1]
        size = int(np.prod(positions))
        flat = self.xp.reshape(state.values, (shape[0], size, a, size, b))
        kept = self.xp.stack([flat[:, u, :, u, :] for u in range(size)], axis=1)
        values = self.xp.reshape(kept, (shape[0], *positions, a, b))
        return state._replace(values=values, pairs=False)

    def position_axes(self, state: Kept) -> tuple[int, ...]:
        left = range(1, 1 + state.rank)
        return (*left, *(k + state.rank + 1 for k in left if state.pairs))

    def overlap(self, left: Any, right: Any, state: Kept) -> Any:
        """Return `sum_c left_c(u) right_c(u')` as (1, *positions, a, ...)."""
        right = self.xp.swapaxes(right, -1, -2)  # (*positions, channels, b)
        if not state.pairs:
            return (left @ right)[None]
        rows, columns = left.shape[:-1], (*right.shape[:-2], right.shape[-1])
        channels = left.shape[-1]
        left = self.xp.reshape(left, (-1, channels))
        right = self.xp.reshape(self.xp.moveaxis(right, -2, 0), (channels, -1))
        product = left @ right
        return self.xp.reshape(product, (1, *rows, *columns))

    def product(self, left: Any, right: Any, state: Kept) -> Any:
        """Return `left_c(u) right_c(u')` as (channels, *positions, a, ...)."""
        left = self.xp.moveaxis(left, -1, 0)  # (channels, *positions, a)
        right = self.xp.moveaxis(right, -1, 0)
        if not state.pairs:
            return left[..., None] * right[..., None, :]
        rows, columns = left.shape, right.shape
        left = self.xp.reshape(left, (*rows, *(1,) * (len(columns) - 1)))
        right = self.xp.reshape(
            right, (columns[0], *(1,) * (len(rows) - 1), *columns[1:])
        )
        return left * right

    # A convolution adds `M(s u + j, s u' + j)` over its kernel's offsets j: both
    # positions move by the same step, so the sum separates into one pass per image
    # axis, each over a pair of array axes. Without pairs it runs over one axis.

    def offset_sum(self, values: Any, axes: tuple[int, ...], window: Window) -> Any:
        """Return `sum_j values[s y + j - p]`, with the same offset j on all `axes`."""
        if window.padding == "circular":
            values = wrap(values, axes, window, self.xp)
            window = window._replace(padding="valid")
        before, after = window.pads(values.shape[axes[0]])
        length = window.out_length(values.shape[axes[0]])
        if before + after:
            ends = [
                (before, after) if k in axes else (0, 0) for k in range(values.ndim)
            ]
            values = self.xp.pad(values, ends)
        total: Any = 0
        for j in window.offsets:
            stop = j + window.strides * (length - 1) + 1
            total = total + values[_cut(values, axes, j, stop, window.strides)]
        return total

    def window_sum(self, state: Kept, size: int) -> Kept:
        """Sum over adjacent windows of `size`, at both positions."""
        values = state.values
        for axis in self.position_axes(state):
            shape = tuple(values.shape)
            length = shape[axis] // size
            values = values[_cut(values, (axis,), 0, length * size, 1)]
            split = (*shape[:axis], length, size, *shape[axis + 1 :])
            values = self.xp.sum(self.xp.reshape(values, split), axis=axis + 1)
        return state._replace(values=values)


def wrap(values: Any, axes: tuple[int, ...], window: Window, xp: Any = np) -> Any:
    """Extend the axes circularly by the amounts that "same" pads with zeros."""
    size = values.shape[axes[0]]
    before, after = window.pads(size)
    wrapped = np.arange(-before, size + after) % size
    for axis in axes if before + after else ():
        values = xp.take(values, wrapped, axis=axis)
    return values


def _cut(values: Any, axes: tuple[int, ...], *bounds: int) -> tuple[slice, ...]:
    """Return an index that takes one slice on all the named axes."""
    part = slice(*bounds)
    return tuple(part if k in axes else slice(None) for k in range(len(values.shape)))


# stage, recursion, state before the stage, parts of the state read after it
# -> state after the stage, before its gate
AFTER = StageRules("The exact kernel")


@AFTER.rule(MaxPool, "window")
def _select(stage: MaxPool, recursion: Recursion, state: Kept, needs: Needs) -> Kept:
    left, right = recursion.gates(stage)
    values, rank = state.values, state.rank
    for k, axis in enumerate(recursion.position_axes(state)):
        reached = left.shape[k % rank]  # drop positions that fill no window
        values = values[_cut(values, (axis,), 0, reached, 1)]
    state = recursion.gate(state._replace(values=values), left, right, needs)
    pooled = recursion.window_sum(state, stage.pool_size)
    return pooled if needs.pairs else recursion.diagonal(pooled)


@AFTER.rule(Residual, "body", "shortcut", "gated")
def _add(stage: Residual, recursion: Recursion, state: Kept, needs: Needs) -> Kept:
    return recursion.sum(*recursion.branches(stage, state, needs))


@AFTER.rule(Dense, "affine", "gated")
def _dense(stage: Dense, recursion: Recursion, state: Kept, needs: Needs) -> Kept:
    return recursion.weigh(state, stage.name, stage.units)


@AFTER.rule(Conv, "window", "affine", "gated")
def _conv(stage: Conv, recursion: Recursion, state: Kept, needs: Needs) -> Kept:
    state = state if needs.pairs else recursion.diagonal(state)
    return recursion.weigh(state, stage.name, stage.filters, stage)


@AFTER.rule(AveragePool, "window")
def _mean(stage: AveragePool, recursion: Recursion, state: Kept, needs: Needs) -> Kept:
    state = state if needs.apart else recursion.total(state)
    pooled = recursion.window_sum(state, stage.pool_size)
    count = stage.pool_size ** len(recursion.position_axes(state))
    pooled = pooled._replace(values=pooled.values / count)
    return pooled if needs.pairs else recursion.diagonal(pooled)


@AFTER.rule(GlobalPool)
def _global(stage: GlobalPool, recursion: Recursion, state: Kept, needs: Needs) -> Kept:
    state = state if needs.apart else recursion.total(state)
    axes = recursion.position_axes(state)
    # Keras' mean and matmul on torch drop to float32; sum and @ do not.
    count = math.prod(state.values.shape[axis] for axis in axes)
    values = recursion.xp.sum(state.values, axis=axes) / count
    return Kept(values, state.copies, 0, True)


@AFTER.rule(Flatten)
def _flatten(stage: Flatten, recursion: Recursion, state: Kept, needs: Needs) -> Kept:
    """Turn positions into units: (K, *positions, a, b) into (units, a, b)."""
    xp, state = recursion.xp, recursion.diagonal(state)
    if not needs.apart:
        state = recursion.total(state)
        shape = (1, -1, *state.values.shape[-2:])
        values = xp.sum(xp.reshape(state.values, shape), axis=1)
        return Kept(values, 1, 0, True)
    values = xp.moveaxis(xp.repeat(state.values, state.copies, axis=0), 0, -3)
    return Kept(xp.reshape(values, (-1, *values.shape[-2:])), 1, 0, True)
