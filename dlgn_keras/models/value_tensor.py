"""The value tensor of a model (DLGN-VT): one free value per path, no value network."""

import math
from typing import Any

import keras

from dlgn_keras.layers import ValueTensor
from dlgn_keras.messages import check_choice
from dlgn_keras.models.walker import value_inputs
from dlgn_keras.skeletons import Dense, Flatten, Skeleton

VALUES = ("network", "tensor")
MAX_PATHS = 1_000_000


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
        gated = isinstance(stage, Dense) and stage.gated
        if not gated and not isinstance(stage, Flatten):
            raise ValueError(
                "`value` 'tensor' needs a skeleton of gated dense stages in a "
                f"chain. Received: stage {stage.name!r} of skeleton {skeleton.name!r}."
            )
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
