"""Shapes of a skeleton's stages, computed before any layer is made."""

import math
import operator
from typing import Any

from dlgn_keras.skeletons.rules import StageRules
from dlgn_keras.skeletons.skeleton import Skeleton
from dlgn_keras.skeletons.stages import (
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

Shape = tuple[int, ...]


def check_input_shape(input_shape: Any) -> Shape:
    """Return (dim,), (steps, channels) or (height, width, channels) as a tuple.

    Args:
        input_shape: whole numbers above 0, without the batch.

    Raises:
        ValueError: anything else.

    Example:
        >>> from dlgn_keras.skeletons import check_input_shape
        >>> check_input_shape([8, 8, 1])
        (8, 8, 1)
    """
    try:
        shape = tuple(operator.index(size) for size in input_shape)
    except TypeError:
        shape = ()
    if not 1 <= len(shape) <= 3 or min(shape, default=0) < 1:
        raise ValueError(
            "`input_shape` must be (dim,), (steps, channels) or (height, width, "
            f"channels), without the batch. Received: input_shape={input_shape!r}."
        )
    return shape


def output_shapes(skeleton: Skeleton, input_shape: Any) -> dict[str, Shape]:
    """Return the output shape of every stage, by its name.

    Args:
        skeleton: the stages.
        input_shape: (dim,), (steps, channels) or (height, width, channels).

    Raises:
        ValueError: a stage that cannot take what comes to it, branches of two
            shapes, or a skeleton that does not end in a vector.

    Example:
        >>> from dlgn_keras import skeletons
        >>> shapes = skeletons.output_shapes(skeletons.c4gap(width=8), (32, 32, 3))
        >>> shapes["conv_4"], shapes["global_pool_1"]
        ((32, 32, 8), (8,))
    """
    shapes: dict[str, Shape] = {}
    last = _along(skeleton.stages, check_input_shape(input_shape), shapes)
    if len(last) != 1:
        raise ValueError(
            "A skeleton must end in a vector; end it with GlobalPool() or Flatten(). "
            f"Received: {skeleton.name!r} ending in shape {last}."
        )
    return shapes


def gate_shapes(skeleton: Skeleton, input_shape: Any) -> dict[str, Shape]:
    """Return the shape of the gates at every site, by its name.

    Args:
        skeleton, input_shape: as in `output_shapes`.

    Example:
        >>> from dlgn_keras.skeletons import Conv, GlobalPool, MaxPool, Skeleton
        >>> from dlgn_keras.skeletons import gate_shapes
        >>> gate_shapes(Skeleton((Conv(8), MaxPool(2), GlobalPool())), (6, 6, 1))
        {'conv_1': (6, 6, 8), 'max_pool_1': (3, 3, 8, 4)}
    """
    shapes = output_shapes(skeleton, input_shape)
    found = {}
    for stage in walk(skeleton.stages):
        if stage.gated:
            found[stage.name] = shapes[stage.name]
            if stage.selects:
                rank = len(shapes[stage.name]) - 1
                found[stage.name] += (stage.window.size**rank,)
    return found


def _along(stages: tuple[Stage, ...], shape: Shape, shapes: dict[str, Shape]) -> Shape:
    for stage in stages:
        shape = shapes[stage.name] = SHAPES(stage, shape, shapes)
    return shape


# stage, shape before it, shapes noted so far -> shape after it
SHAPES = StageRules("A shape")


@SHAPES.rule(Residual, "body", "shortcut", "gated")
def _block(stage: Residual, shape: Shape, shapes: dict[str, Shape]) -> Shape:
    body = _along(stage.body, shape, shapes)
    shortcut = _along(stage.shortcut, shape, shapes)
    if body != shortcut:
        raise ValueError(
            f"The branches of {stage.name!r} must have one shape. "
            f"Received: body {body}, shortcut {shortcut}."
        )
    return body


@SHAPES.rule(Flatten)
def _flatten(stage: Flatten, shape: Shape, shapes: dict[str, Shape]) -> Shape:
    return (math.prod(shape),)


@SHAPES.rule(Dense, "affine", "gated")
def _dense(stage: Dense, shape: Shape, shapes: dict[str, Shape]) -> Shape:
    if len(shape) > 1:
        raise ValueError(
            f"Dense stage {stage.name!r} needs a vector; put GlobalPool() or "
            f"Flatten() before it. Received: shape {shape}."
        )
    return (stage.units,)


@SHAPES.rule(GlobalPool)
def _global_pool(stage: GlobalPool, shape: Shape, shapes: dict[str, Shape]) -> Shape:
    _check_image(stage, shape)
    return shape[-1:]


@SHAPES.rule(AveragePool, "window")
@SHAPES.rule(MaxPool, "window")
def _windows(stage: Any, shape: Shape, shapes: dict[str, Shape]) -> Shape:
    _check_image(stage, shape)
    window = stage.window
    if not window.fits(min(shape[:-1])):
        raise ValueError(
            f"Stage {stage.name!r} has a window of {window.span}, larger than its "
            f"input. Received: shape {shape}."
        )
    return (*(window.out_length(size) for size in shape[:-1]), shape[-1])


@SHAPES.rule(Conv, "window", "affine", "gated")
def _conv(stage: Conv, shape: Shape, shapes: dict[str, Shape]) -> Shape:
    positions = _windows(stage, shape, shapes)[:-1]
    if shape[-1] % stage.groups:
        raise ValueError(
            f"`groups` of {stage.name!r} must divide the channels of its input. "
            f"Received: groups={stage.groups}, shape {shape}."
        )
    return (*positions, stage.filters)


def _check_image(stage: Stage, shape: Shape) -> None:
    if len(shape) < 2:
        raise ValueError(
            f"Stage {stage.name!r} needs (steps, channels) or (height, width, "
            f"channels). Received: shape {shape}."
        )
