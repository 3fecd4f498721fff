"""The arguments of the families, checked; defaults resolved."""

import math
import operator
from typing import Any

from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.models.base import Site
from dlgn_keras.skeletons import (
    Dense,
    Flatten,
    Skeleton,
    check_input_shape,
    gate_shapes,
    parse,
    walk,
)
from dlgn_keras.skeletons.rules import StageRules
from dlgn_keras.tools.messages import check_choice, check_count

VALUE_INPUTS = ("input", "ones")
VALUES = ("network", "tensor")
MAX_PATHS = 1_000_000
# Stages that a tensor of path values supports.
CHAIN = "it needs gated dense stages in a chain"
TENSOR_STAGES = StageRules("`value` 'tensor'", otherwise=CHAIN)


@TENSOR_STAGES.rule(Flatten)
def _any(stage: Flatten) -> None:
    pass


@TENSOR_STAGES.rule(Dense, "affine", gated=CHAIN)
def _gated(stage: Dense) -> None:
    pass


def check_arguments(
    skeleton: Any,
    input_shape: Any,
    num_classes: Any,
    batch_norm: bool | None,
    preprocessing: Any,
    seed: Any,
) -> tuple[dict[str, Any], tuple[Site, ...]]:
    """Return the arguments every family takes, checked and resolved, and the sites."""
    if isinstance(skeleton, str):
        skeleton = parse(skeleton)
    if not isinstance(skeleton, Skeleton):
        raise ValueError(
            "`skeleton` must be a Skeleton, such as dk.skeletons.fc(), or its text, "
            "such as 'fc:depth=4,width=20'. "
            f"Received: skeleton={skeleton!r}."
        )
    if not isinstance(preprocessing, Preprocessing | None):
        raise ValueError(
            "`preprocessing` must be a dk.data.Preprocessing or None. "
            f"Received: preprocessing={preprocessing!r}."
        )
    if not (seed is None or (isinstance(seed, int) and seed >= 0)):
        raise ValueError(
            f"`seed` must be a whole number from 0 or None. Received: seed={seed!r}."
        )
    if batch_norm is not None:
        skeleton = skeleton.with_batch_norm(batch_norm)
    sites = tuple(Site(*site) for site in gate_shapes(skeleton, input_shape).items())
    if not sites:
        raise ValueError(
            "`skeleton` must have a gated stage. "
            f"Received: {skeleton.name!r} without one."
        )
    resolved = {
        "skeleton": skeleton,
        "input_shape": check_input_shape(input_shape),
        "num_classes": check_count("num_classes", num_classes),
        "preprocessing": preprocessing,
        "seed": seed,
    }
    return resolved, sites


def check_value_input(value_input: Any, skeleton: Skeleton) -> str:
    """Return `value_input`, or raise a ValueError if all-ones meets batch norm.

    Up to the first gate, maps of all-ones have the same value for all examples, and at
    all positions unless a convolution pads with zeros. Batch norm would divide by a
    variance of zero: it learns nothing, and at inference amplifies the lag of its
    moving statistics.
    """
    check_choice("value_input", value_input, VALUE_INPUTS)
    if value_input == "input":
        return value_input
    for stage in walk(skeleton.stages):
        window = stage.window
        if window is not None and window.padding == "same" and window.size > 1:
            break  # zeros at the border tell places apart
        if getattr(stage, "batch_norm", False):
            raise ValueError(
                "`value_input` 'ones' needs stages without batch norm up to the first "
                "gate, where all examples have the same value; leave batch_norm off. "
                f"Received: batch norm in {stage.name!r} of skeleton {skeleton.name!r}."
            )
        if stage.gated:
            break
    return value_input


def check_value(
    value: Any, value_input: str, skeleton: Skeleton, sites: dict[str, tuple]
) -> str:
    """Return `value`, or raise a ValueError if the skeleton allows no tensor.

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


def check_value_norm(norm: Any, value_bias: bool) -> None:
    """Raise a ValueError unless it is known, and a scaling one stands without bias."""
    check_choice("value_norm", norm, ("batch", "scale"))
    if norm == "scale" and value_bias:
        raise ValueError(
            "`value_norm` 'scale' is for a value network without shifts: leave "
            "value_bias False. Received: value_bias=True."
        )


def check_gate_order(order: Any, sites: tuple[Site, ...]) -> tuple[int, ...]:
    """Return the permutation of the sites, each onto one of its own shape."""
    number = len(sites)
    if order is None:
        return tuple(range(number))
    try:
        order = tuple(operator.index(k) for k in order)
    except TypeError:
        order = (order,)
    if sorted(map(str, order)) != sorted(map(str, range(number))):
        raise ValueError(
            f"`gate_order` must be a permutation of 0..{number - 1}, one per site. "
            f"Received: gate_order={order}."
        )
    for k, target in enumerate(order):
        if sites[k].shape != sites[target].shape:
            raise ValueError(
                f"`gate_order` must keep shapes: gates of {sites[k].name} have shape "
                f"{sites[k].shape}, site {sites[target].name} needs "
                f"{sites[target].shape}. Received: gate_order={order}."
            )
    return order
