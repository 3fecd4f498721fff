"""Number of weights of a model, computed from shapes without building it."""

import math
from typing import Any

from dlgn_keras.models.shallow import shallow_skeletons
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Skeleton,
    Stage,
    check_input_shape,
    gate_shapes,
    output_shapes,
    walk,
)
from dlgn_keras.skeletons.rules import StageRules
from dlgn_keras.tools.messages import check_count

Shape = tuple[int, ...]
# stage, shape before it, {stage: shape after it}, whether maps have a bias -> numbers
SIZES = StageRules("A number of weights")


@SIZES.rule(Flatten)
@SIZES.rule(GlobalPool)
@SIZES.rule(AveragePool, "window")
@SIZES.rule(MaxPool, "window")
def _none(stage: Stage, before: Shape, shapes: dict, bias: bool) -> int:
    return 0


@SIZES.rule(Dense, "affine", "gated")
def _dense(stage: Dense, before: Shape, shapes: dict, bias: bool) -> int:
    return stage.units * (before[-1] + _vectors(stage, bias))


@SIZES.rule(Conv, "window", "affine", "gated")
def _conv(stage: Conv, before: Shape, shapes: dict, bias: bool) -> int:
    entries = stage.kernel_size ** (len(before) - 1) * before[-1] // stage.groups
    return stage.filters * (entries + _vectors(stage, bias))


@SIZES.rule(Residual, "body", "shortcut", "gated")
def _block(stage: Residual, before: Shape, shapes: dict, bias: bool) -> int:
    branches = (stage.body, stage.shortcut)
    return sum(_numbers(branch, before, shapes, bias) for branch in branches)


def _vectors(stage: Conv | Dense, bias: bool) -> int:
    """Return how many numbers a unit has: its bias, or batch norm's four."""
    return 4 if stage.batch_norm else int(bias)


def _normed(stages: tuple[Stage, ...], shapes: dict) -> int:
    """Return the number of units that batch norm follows."""
    named = (s for s in walk(stages) if getattr(s, "batch_norm", False))
    return sum(shapes[stage.name][-1] for stage in named)


def _numbers(stages: tuple[Stage, ...], before: Shape, shapes: dict, bias: bool) -> int:
    total = 0
    for stage in stages:
        total += SIZES(stage, before, shapes, bias)
        before = shapes[stage.name]
    return total


def count_weights(family: Any, config: dict[str, Any]) -> int:
    """Return `count_params()` of the model of a config, without building it.

    Args:
        family: DNN, DGN or DLGN.
        config: as `get_config` returns it.

    Raises:
        ValueError: a skeleton that cannot be, or that the input does not fit.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 16), (8, 8, 1), num_classes=10)
        >>> count_weights(dk.DLGN, net.get_config()) == net.count_params()
        True
    """
    skeleton = Skeleton.from_config(config["skeleton"])
    if config.get("batch_norm") is not None:
        skeleton = skeleton.with_batch_norm(config["batch_norm"])
    classes = check_count("num_classes", config["num_classes"])
    shape = check_input_shape(config["input_shape"])
    shapes = output_shapes(skeleton, shape)
    bias = config.get("value_bias", False)
    if not family.has_gating_network:
        bias = config.get("use_bias", True)
    if config.get("value") == "tensor":
        sites = gate_shapes(skeleton, shape).values()
        value = classes * (math.prod(widths[-1] for widths in sites) + int(bias))
    else:
        value = _numbers(skeleton.stages, shape, shapes, bias)
        value += classes * (shapes[skeleton.stages[-1].name][-1] + int(bias))
        if config.get("value_norm") == "scale":  # no mean and no offset
            value -= 2 * _normed(skeleton.stages, shapes)
    if not family.has_gating_network:
        return value
    bias = config.get("gating_bias", True)
    if not config.get("shallow"):
        return value + _up_to_last_site(skeleton.stages, shape, shapes, bias)
    parts = shallow_skeletons(skeleton, shape).values()
    return value + sum(_of_part(part.stages, shape, bias) for part in parts)


def _of_part(stages: tuple[Stage, ...], shape: Shape, bias: bool) -> int:
    """Return the numbers of a shallow gating network, which may end in an image."""
    end = Flatten("_".join(stage.name for stage in stages) + "_end")
    shapes = output_shapes(Skeleton((*stages, end)), shape)
    return _numbers(stages, shape, shapes, bias)


def _up_to_last_site(
    stages: tuple[Stage, ...], before: Shape, shapes: dict, bias: bool
) -> int:
    """Return the number of weights up to the last site."""
    while stages and not any(stage.gated for stage in walk(stages[-1:])):
        stages = stages[:-1]
    if not stages:
        return 0
    head, last = stages[:-1], stages[-1]
    total = _numbers(head, before, shapes, bias)
    before = shapes[head[-1].name] if head else before
    if last.gated or not isinstance(last, Residual):
        return total + SIZES(last, before, shapes, bias)
    return total + sum(
        _up_to_last_site(branch, before, shapes, bias)
        for branch in (last.body, last.shortcut)
    )
