"""Options of the value network: its input, and a tensor in its place.

`value_input="ones"` shows it no input; `value="tensor"` is DLGN-VT, one free value
per path and no value network.
"""

import math
from typing import Any

import keras

from dlgn_keras.layers import ValueTensor
from dlgn_keras.models.builder import value_inputs
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Skeleton,
    walk,
)
from dlgn_keras.skeletons.rules import StageRules
from dlgn_keras.tools.messages import check_choice

VALUE_INPUTS = ("input", "ones")
VALUES = ("network", "tensor")
MAX_PATHS = 1_000_000
# Stages that a tensor of path values may stand on.
TENSOR_STAGES = StageRules("`value` 'tensor'")
TENSOR_STAGES.refuse(
    *(Conv, AveragePool, MaxPool, GlobalPool, Residual),
    reason="it needs gated dense stages in a chain",
)


@TENSOR_STAGES.rule(Flatten)
def _any(stage: Flatten) -> None:
    pass


@TENSOR_STAGES.rule(Dense, "affine", gated="it needs gated dense stages in a chain")
def _gated(stage: Dense) -> None:
    pass


def check_value_input(value_input: Any, skeleton: Skeleton) -> str:
    """Return `value_input`, or raise a ValueError where all-ones cannot be seen.

    Up to the first gate, maps of all-ones have one value for all examples, and for
    all places unless a convolution pads with zeros. Batch norm would divide by a
    variance of zero: it learns nothing, and at inference amplifies the lag of its
    moving statistics.
    """
    check_choice("value_input", value_input, VALUE_INPUTS)
    if value_input == "input":
        return value_input
    for stage in walk(skeleton.stages):
        window = getattr(stage, "window", None)
        if window is not None and window.padding == "same" and window.size > 1:
            break  # zeros at the border tell places apart
        if getattr(stage, "batch_norm", False):
            raise ValueError(
                "`value_input` 'ones' needs stages without batch norm up to the first "
                "gate, where all examples have the same value; leave batch_norm off. "
                f"Received: batch norm in {stage.name!r} of skeleton {skeleton.name!r}."
            )
        if getattr(stage, "gated", False):
            break
    return value_input


def check_value(
    value: Any, value_input: str, skeleton: Skeleton, sites: dict[str, tuple]
) -> str:
    """Return `value`, or raise a ValueError where a tensor cannot stand.

    A tensor needs a chain of dense sites, no more than `MAX_PATHS` paths, and the
    all-ones value input: it sees gates alone.
    """
    check_choice("value", value, VALUES)
    if value == "network":
        return value
    for stage in skeleton.stages:
        TENSOR_STAGES(stage)
    if value_input != "ones":
        raise ValueError(
            "`value_input` must be 'ones' with value 'tensor', which sees gates alone. "
            f"Received: value_input={value_input!r}."
        )
    paths = math.prod(shape[-1] for shape in sites.values())
    if paths > MAX_PATHS:
        raise ValueError(
            f"`value` 'tensor' holds a value per path, at most {MAX_PATHS:,} of them. "
            f"Received: skeleton {skeleton.name!r} with {paths:,} paths."
        )
    return value


def tensor_model(
    tensor: ValueTensor, input_shape: tuple, site_shapes: dict[str, tuple]
) -> keras.Model:
    """Return the model [value input, {site: gates}] -> logits; the first is unused."""
    z, gates = value_inputs(input_shape, site_shapes)
    logits = tensor(list(gates.values()))
    return keras.Model([z, gates], logits, name="value_network")
