"""Which operand of a product is the gate: the one that ends in a bounded activation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dlgn_keras.models.foreign.calls import NoValue, Refusal
from dlgn_keras.models.foreign.probe import Specs, affine_in, keeps_apart

# They leave what is bounded so: they move and scale entries, or repeat them.
PASSING = frozenset(
    "Reshape Permute Flatten RepeatVector Dropout SpatialDropout1D SpatialDropout2D "
    "Identity Activation Rescaling Multiply Add Subtract Divide TrueDivide Negative "
    "Cast ExpandDims Squeeze Transpose SwapAxes Swapaxes Moveaxis BroadcastTo Repeat "
    "Tile GetItem UpSampling1D UpSampling2D".split()
)
DIVISORS = ("Rsqrt", "Reciprocal")
MULTIPLIES = "multiplies or divides by a tensor of the network"


class End(NamedTuple):
    """How a branch ends: between which numbers, and what step bounds it.

    made: that step. low, high: the numbers.
    mean: what stands for it in a linear gating network.
    own: whether it is a gate of ours, or one over a size.
    """

    made: int
    low: float
    high: float
    mean: float = 1.0
    own: bool = False

    @property
    def rank(self) -> int:
        """0 for an own gate, 1 for values from 0 to 1, 2 from -1 to 1, 3 for others."""
        if self.own:
            return 0
        slack = 1e-3
        if self.low >= -slack and self.high <= 1 + slack:
            return 1
        return 2 if max(-self.low, self.high) <= 1 + slack else 3


def passed(end: End, function: Callable, spec: Any) -> End | None:
    """Return how a branch ends behind a step that passes it on."""
    if end.own:
        return end
    shape, dtype = spec
    rows = [np.full((1, *shape), value) for value in (end.low, end.high)]
    values = np.asarray(
        ops.convert_to_numpy(
            ops.cast(
                function(ops.convert_to_tensor(np.concatenate(rows), dtype)), "float32"
            )
        )
    )
    if not np.isfinite(values).all():
        return None
    return end._replace(low=float(values.min()), high=float(values.max()))


def choose(
    function: Callable,
    specs: Specs,
    names: list[str],
    ends: list[End | None],
    named: str | None,
) -> list[int] | None:
    """Return which operands of a product are gates, None if it is no product.

    Args:
        function: of the operands.
        specs: shape and dtype of each.
        names: of the steps whose outputs they are.
        ends: how each branch ends, None where that is not bounded.
        named: the operand that the user says is the gate, or None.

    Raises:
        NoValue: it is one, and which operand is the gate cannot be told.
        Refusal: `named` is none of its operands, or it mixes the examples of a batch.
    """
    count = range(len(specs))
    alone = ["float" in specs[k][1] and affine_in(function, specs, [k]) for k in count]
    if not any(alone):
        return None
    gates = [k for k in count if not alone[k]]
    if named is not None:
        if named not in names:
            raise Refusal(
                f"has no operand {named!r}, as `gates` has it: name one of "
                f"{', '.join(names)}"
            )
        gates = sorted({*gates, names.index(named)})
    while not gates or not affine_in(function, specs, _rest(count, gates)):
        rest = [(k, ends[k]) for k in _rest(count, gates)]
        ranks = {k: end.rank for k, end in rest if end is not None}
        best = [k for k, rank in ranks.items() if rank == min(ranks.values())]
        if len(best) != 1 or len(gates) + 1 == len(specs):
            raise NoValue(
                f"{MULTIPLIES}, and {'no' if not best else 'more than one'} branch of "
                f"it ends in a bounded activation: name the gate, gates={{this layer: "
                f"branch}}, of {', '.join(names)}"
            )
        gates = sorted([*gates, *best])
    if not keeps_apart(function, specs):
        raise Refusal("mixes the examples of a batch")
    if any("float" in specs[k][1] for k in gates) and not _vanishes(
        function, specs, gates
    ):
        return None
    return gates


def is_linear_in(function: Callable, specs: Specs, gate: int) -> bool:
    """Return whether a product is linear in one of its gates, the others fixed."""
    if "float" not in specs[gate][1]:
        return False
    rest = [k for k in range(len(specs)) if k != gate]
    return affine_in(function, specs, [gate]) and _vanishes(function, specs, rest)


def _vanishes(function: Callable, specs: Specs, gates: list[int]) -> bool:
    """Return whether nothing comes out where all but the gates are 0."""
    made = [
        (ops.ones if k in gates else ops.zeros)((2, *shape), dtype)
        for k, (shape, dtype) in enumerate(specs)
    ]
    with keras.StatelessScope():
        found = keras.tree.flatten(function(*made))
    return all(not np.any(ops.convert_to_numpy(ops.cast(y, "float32"))) for y in found)


def _rest(count: Any, gates: list[int]) -> list[int]:
    return [k for k in count if k not in gates]
