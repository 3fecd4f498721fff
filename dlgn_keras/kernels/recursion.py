"""The exact neural path kernel of a block of examples against another.

The state is the inner product of the two examples' path features up to a stage,
`M_c(u, u')` for channel c at positions u and u'. A weight layer adds over
channels (its paths part there), and a convolution over the kernel's offsets; a
gate multiplies by `G_c(u) G'_c(u')`; pooling takes means over both positions; a
residual block adds its branches; a bias adds 1, for a path that starts there.
Weights count 1, batch norm's scales included: the path features hold none.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.kernels.plan import Needs, Plan
from dlgn_keras.kernels.windows import offset_sum, window_mean
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    Residual,
    Stage,
)


class Side(NamedTuple):
    """Examples ready for the recursion, examples behind positions.

    inputs: (*positions, n, channels), what the value network is fed.
    gates: {site: (*positions, n, channels)}.
    """

    inputs: Any
    gates: dict[str, Any]

    def part(self, rows: slice) -> "Side":
        """Return some of the examples."""
        cut = (..., rows, slice(None))
        return Side(self.inputs[cut], {s: g[cut] for s, g in self.gates.items()})


class State(NamedTuple):
    """What is known after a stage.

    values: (K, *positions, a, *positions', b), or (K, *positions, a, b) where only
        equal positions are kept. K is the number of channels, or 1.
    copies: how many channels each of the K stands for: with K = 1, all channels
        (they are equal) or 1 (the K = 1 is their sum).
    rank: number of position axes.
    pairs: whether positions are kept in pairs.
    """

    values: Any
    copies: int
    rank: int
    pairs: bool


def arrange(inputs: Any, gates: dict[str, Any], plan: Plan, dtype: Any) -> Side:
    """Return examples first arrays as a Side, with a leading Flatten applied."""

    def move(array: Any) -> np.ndarray:
        moved = np.moveaxis(np.asarray(array, dtype), 0, -2)
        return np.ascontiguousarray(moved)

    inputs = np.reshape(inputs, (len(inputs), *plan.input_shape))
    return Side(move(inputs), {site: move(gates[site]) for site in plan.sites})


def block_kernel(plan: Plan, left: Side, right: Side, xp: Any = np) -> Any:
    """Return the kernel of every example on the left with every one on the right.

    Args:
        plan: the model's plan.
        left, right: a and b examples.
        xp: array namespace, `numpy` or `keras.ops`.

    Returns:
        array (a, b), in the dtype of the sides.
    """
    from dlgn_keras.kernels.blocked import BlockedRecursion

    recursion = BlockedRecursion if xp is np else Recursion
    return recursion(plan, left, right, xp).run()


class Recursion:
    """The recursion in plain array operations: `xp` is `numpy` or `keras.ops`."""

    def __init__(self, plan: Plan, left: Side, right: Side, xp: Any) -> None:
        self.plan, self.left, self.right, self.xp = plan, left, right, xp

    def run(self) -> Any:
        plan = self.plan
        rank, pairs = len(plan.input_shape) - 1, plan.start.pairs
        empty = State(None, 1, rank, pairs)
        product = self.product if plan.start.apart else self.overlap
        state = empty._replace(
            values=product(self.left.inputs, self.right.inputs, empty)
        )
        state = self.weigh(self.along(plan.stages, state), "logits", 1)
        return state.values[0]

    def along(self, stages: tuple[Stage, ...], state: State) -> State:
        for stage in stages:
            state = self.through(stage, state, self.plan.needs[stage.name])
        return state

    def through(self, stage: Stage, state: State, needs: Needs) -> State:
        """Return the state behind a stage and its gate."""
        state = self.after(stage, state, needs)
        if not getattr(stage, "gated", False):
            return state
        gates = self.left.gates[stage.name], self.right.gates[stage.name]
        return self.gate(state, *gates, needs)

    def after(self, stage: Stage, state: State, needs: Needs) -> State:
        """Return the state behind a stage, before its gate."""
        if isinstance(stage, Residual):
            return self.add(stage, state, needs)
        if isinstance(stage, Dense):
            return self.weigh(state, stage.name, stage.units)
        if isinstance(stage, Conv):
            state = state if needs.pairs else self.diagonal(state)
            return self.weigh(state, stage.name, stage.filters, stage)
        state = state if needs.apart else self.total(state)
        if isinstance(stage, Flatten):
            return self.flatten(self.diagonal(state), needs)
        values = state.values
        if isinstance(stage, AveragePool):
            for axis in self.position_axes(state):
                values = window_mean(values, axis, stage.pool_size, self.xp)
            state = state._replace(values=values)
            return state if needs.pairs else self.diagonal(state)
        if isinstance(stage, GlobalPool):
            axes = self.position_axes(state)
            # Keras' mean and matmul on torch drop to float32; sum and @ do not.
            count = math.prod(values.shape[axis] for axis in axes)
            values = self.xp.sum(values, axis=axes) / count
            return State(values, state.copies, 0, True)
        raise TypeError(f"No kernel is known for the stage {stage!r}.")

    def weigh(
        self, state: State, name: str, units: int, conv: Conv | None = None
    ) -> State:
        """Sum over what a weight layer reads; its outputs are all alike."""
        state = self.total(state)
        values = state.values
        if conv is not None:
            axes = self.position_axes(state)
            for k in range(state.rank):
                pairs = axes[k :: state.rank]
                values = offset_sum(values, pairs, conv.window, self.xp)
        if self.plan.fan_in[name] > 1:
            values = values / self.plan.fan_in[name]
        if name in self.plan.biases:
            values = values + 1.0
        return state._replace(values=values, copies=units)

    def gate(self, state: State, left: Any, right: Any, needs: Needs) -> State:
        """Multiply by the gates of both examples, channel by channel."""
        values = state.values
        if needs.apart:
            values = values * self.product(left, right, state)
            return state._replace(values=values, copies=1)
        if values.shape[0] == 1:
            values = values * self.overlap(left, right, state)
            return state._replace(values=values, copies=1)
        total: Any = 0
        for c in range(values.shape[0]):
            one = slice(c, c + 1)
            gates = self.product(left[..., one], right[..., one], state)
            total = total + values[one] * gates
        return state._replace(values=total, copies=1)

    def add(self, stage: Residual, state: State, needs: Needs) -> State:
        """Add the branches of a block: every path takes one of them."""
        return self.sum(*self.branches(stage, state, needs))

    def sum(self, one: State, other: State) -> State:
        copies = min(one.copies, other.copies)
        return one._replace(values=one.values + other.values, copies=copies)

    def branches(self, stage: Residual, state: State, needs: Needs) -> list[State]:
        """Return the states behind a block's body and shortcut, of one layout."""
        branches = []
        for stages in (stage.body, stage.shortcut):
            branch = self.along(stages, state)
            if not needs.pairs:
                branch = self.diagonal(branch)
            if not (needs.apart or stage.gated):
                branch = self.total(branch)
            branches.append(branch)
        return branches

    def total(self, state: State) -> State:
        """Return the sum over channels."""
        values = state.values
        if values.shape[0] > 1:
            values = self.xp.sum(values, axis=0, keepdims=True)
        if state.copies > 1:
            values = values * state.copies
        return state._replace(values=values, copies=1)

    def diagonal(self, state: State) -> State:
        """Keep equal positions only: all that a flattened image is read at."""
        if not state.pairs or state.rank == 0:
            return state._replace(pairs=state.rank == 0)
        shape, rank = state.values.shape, state.rank
        positions, a, b = shape[1 : 1 + rank], shape[1 + rank], shape[-1]
        size = int(np.prod(positions))
        flat = self.xp.reshape(state.values, (shape[0], size, a, size, b))
        kept = self.xp.stack([flat[:, u, :, u, :] for u in range(size)], axis=1)
        values = self.xp.reshape(kept, (shape[0], *positions, a, b))
        return state._replace(values=values, pairs=False)

    def flatten(self, state: State, needs: Needs) -> State:
        """Turn positions into units: (K, *positions, a, b) into (units, a, b)."""
        values, copies = state.values, state.copies
        a, b = values.shape[-2:]
        if needs.apart:
            values = self.xp.repeat(values, copies, axis=0)
            values, copies = self.xp.moveaxis(values, 0, -3), 1
            values = self.xp.reshape(values, (-1, a, b))
        else:
            values = self.xp.sum(self.xp.reshape(values, (1, -1, a, b)), axis=1)
        return State(values, copies, 0, True)

    def position_axes(self, state: State) -> tuple[int, ...]:
        left = range(1, 1 + state.rank)
        return (*left, *(k + state.rank + 1 for k in left if state.pairs))

    def overlap(self, left: Any, right: Any, state: State) -> Any:
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

    def product(self, left: Any, right: Any, state: State) -> Any:
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
