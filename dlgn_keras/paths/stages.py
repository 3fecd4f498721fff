"""The stages of a network, the shapes between them, and what their windows read."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Index = tuple[int, ...]


class Stage:
    """Base of the stages."""


@dataclass(frozen=True, eq=False)
class Dense(Stage):
    """Affine map of the last axis: kernel (in, out), bias (out,)."""

    kernel: ArrayLike
    bias: ArrayLike | None = None


@dataclass(frozen=True, eq=False)
class Conv(Stage):
    """Convolution: kernel (*window, in, out), bias (out,), channels last.

    padding: "valid"; "same", zeros as in Keras, the larger part at the end; or
    "circular", the same amounts filled with the wrapped image.
    dilation: distance between the entries of a window.
    groups: the channels are cut into so many groups, each convolved apart; the kernel
        then has the inputs of one group.
    """

    kernel: ArrayLike
    bias: ArrayLike | None = None
    strides: int | Index = 1
    padding: str = "valid"
    dilation: int = 1
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Scale(Stage):
    """Folded batch norm: channel c times scale[c] plus offset[c], each (channels,)."""

    scale: ArrayLike
    offset: ArrayLike | None = None


class Gate(Stage):
    """Site where each unit is multiplied by its gate: gates in the units' shape."""


@dataclass(frozen=True, eq=False)
class Pool(Stage):
    """Base of the pools: strides None means size; padding "valid" or "same"."""

    size: int | Index
    strides: int | Index | None = None
    padding: str = "valid"


class AveragePool(Pool):
    """Mean over each window's entries on the image: padding is not counted."""


class MaxPool(Pool):
    """Site that selects from windows: gates (*output shape, window entries).

    The gates are one-hot for a maximum, any real values are allowed; the entries of a
    window are counted row by row, those outside the image included.
    """


class GlobalPool(Stage):
    """Mean over all positions, for each channel."""


class Flatten(Stage):
    """All units in one row-major vector."""


@dataclass(frozen=True, eq=False)
class Residual(Stage):
    """Sum of two sequences of stages; the empty shortcut is the identity."""

    body: Sequence[Stage]
    shortcut: Sequence[Stage] = ()


class SubNetwork(NamedTuple):
    """One choice of a branch in every residual block.

    network: the stages of the branches chosen, in one row without blocks.
    sites: the indices, in the residual net, of the sites that it keeps.
    """

    network: tuple[Stage, ...]
    sites: tuple[int, ...]


def sub_networks(network: Sequence[Stage]) -> list[SubNetwork]:
    """List the sub-networks J of a residual net: each block its body or its shortcut.

    Every path runs through exactly one of them: y = sum_J y_J and H = sum_J H_J, if
    each body holds a weight (else its paths and the shortcut's share their keys) and
    no bias or offset stands behind a block (it would start paths in several J).

    Args:
        network: sequence of stages, blocks may be nested.

    Example:
        >>> [list(j.sites) for j in sub_networks([Residual([Gate()]), Gate()])]
        [[0, 1], [1]]

    Reference: arXiv 2110.03403 (residual networks as ensembles).
    """
    return _branches(network, itertools.count())


def _branches(network: Sequence[Stage], sites: Iterator[int]) -> list[SubNetwork]:
    rows = [SubNetwork((), ())]
    for stage in network:
        if isinstance(stage, Residual):
            choices = _branches(stage.body, sites) + _branches(stage.shortcut, sites)
        else:
            site = (next(sites),) if isinstance(stage, Gate | MaxPool) else ()
            choices = [SubNetwork((stage,), site)]
        rows = [
            SubNetwork(row.network + choice.network, row.sites + choice.sites)
            for row in rows
            for choice in choices
        ]
    return rows


class Placed(NamedTuple):
    """A stage at its place in a network.

    number: stages in order, a residual block before its body before its shortcut.
    site: index of its gates, or -1 without gates.
    body, shortcut: the placed parts of a residual block.
    """

    stage: Stage
    number: int
    site: int
    in_shape: Index
    out_shape: Index
    body: tuple["Placed", ...] = ()
    shortcut: tuple["Placed", ...] = ()


def place(
    network: Sequence[Stage],
    input_shape: Sequence[int],
    numbers: Iterator[int] | None = None,
    sites: Iterator[int] | None = None,
) -> tuple[tuple[Placed, ...], Index]:
    """Number the stages and follow the shape; returns placed stages, output shape."""
    numbers = itertools.count() if numbers is None else numbers
    sites = itertools.count() if sites is None else sites
    if not isinstance(network, Sequence):
        raise TypeError(
            f"`network` must be a sequence of stages. Received: network={network!r}."
        )
    placed, shape = [], tuple(input_shape)
    whole = all(isinstance(n, int | np.integer) and n > 0 for n in shape)
    if not shape or not whole:
        raise ValueError(
            "`input_shape` must hold one or more whole numbers of at least 1. "
            f"Received: input_shape={shape}."
        )
    for stage in network:
        number, body, shortcut = next(numbers), (), ()
        site = next(sites) if isinstance(stage, Gate | MaxPool) else -1
        if isinstance(stage, Residual):
            body, out_shape = place(stage.body, shape, numbers, sites)
            shortcut, other = place(stage.shortcut, shape, numbers, sites)
            if other != out_shape:
                raise _misfit(number, "shortcut", f"end in {out_shape}", other)
        else:
            out_shape = _out_shape(stage, shape, number)
        placed.append(Placed(stage, number, site, shape, out_shape, body, shortcut))
        shape = out_shape
    return tuple(placed), shape


def gate_shapes(network: Sequence[Stage], input_shape: Sequence[int]) -> list[Index]:
    """Shapes of the gates of one example, one for each site in order.

    Args:
        network: sequence of stages.
        input_shape: shape of one example, without the batch axis.

    Raises:
        TypeError: a stage is of no known kind.
        ValueError: the shapes do not fit.

    Example:
        >>> from dlgn_keras.paths import Flatten, Gate, MaxPool
        >>> gate_shapes([Gate(), MaxPool(2), Flatten()], (4, 4, 3))
        [(4, 4, 3), (2, 2, 3, 4)]
    """
    shapes, todo = [], list(place(network, input_shape)[0])
    while todo:
        first = todo.pop(0)
        todo = [*first.body, *first.shortcut, *todo]
        if isinstance(first.stage, MaxPool):
            size, _ = window(first.stage, first.in_shape)
            shapes.append((*first.out_shape, math.prod(size)))
        elif isinstance(first.stage, Gate):
            shapes.append(first.out_shape)
    return shapes


def window(stage: Conv | Pool, in_shape: Index) -> tuple[Index, Index]:
    """Size and strides of a convolution or a pool, one entry per image axis."""

    def each_axis(value: int | Index) -> Index:
        if isinstance(value, tuple | list):
            return tuple(value)
        return (value,) * (len(in_shape) - 1)

    if isinstance(stage, Conv):
        return np.shape(stage.kernel)[:-2], each_axis(stage.strides)
    strides = stage.size if stage.strides is None else stage.strides
    return each_axis(stage.size), each_axis(strides)


def taps(
    stage: Conv | Pool, in_shape: Index, position: Index
) -> Iterator[tuple[Index, Index]]:
    """Yield (offset, image position) of the window's entries that lie on the image."""
    image = in_shape[:-1]
    size, strides = window(stage, in_shape)
    apart = stage.dilation if isinstance(stage, Conv) else 1
    starts = []
    for i, n, k, s in zip(position, image, size, strides, strict=True):
        k = (k - 1) * apart + 1
        # "same" in Keras: ceil(n / s) positions; the missing entries are split, the
        # smaller half stands before the image
        missing = max((-(-n // s) - 1) * s + k - n, 0)
        starts.append(i * s - (0 if stage.padding == "valid" else missing // 2))
    for offset in np.ndindex(*size):
        at = [start + j * apart for start, j in zip(starts, offset, strict=True)]
        if stage.padding == "circular":
            at = [a % n for a, n in zip(at, image, strict=True)]
        if all(0 <= a < n for a, n in zip(at, image, strict=True)):
            yield offset, tuple(at)


def _out_shape(stage: Stage, shape: Index, number: int) -> Index:
    """Shape after a stage that is no block, or an error that names the argument."""
    channels = shape[-1:]
    if isinstance(stage, Dense | Conv):
        kernel = np.shape(stage.kernel)
        rank = 2 if isinstance(stage, Dense) else len(shape) + 1
        groups = stage.groups if isinstance(stage, Conv) else 1
        read = tuple(n * groups for n in kernel[-2:-1])
        if not channels or len(kernel) != rank or read != channels:
            expected = f"have {rank} axes, the last but one as the input {shape}"
            raise _misfit(number, "kernel", expected, kernel)
        if kernel[-1] % groups:
            raise _misfit(number, "groups", "divide the outputs", groups)
        channels = kernel[-1:]
    vectors = {"bias": channels, "scale": channels, "offset": channels}
    for name, expected in vectors.items():
        vector = getattr(stage, name, None)
        if vector is not None and np.shape(vector) != expected:
            raise _misfit(number, name, f"have shape {expected}", np.shape(vector))
    if isinstance(stage, Conv | Pool):
        if len(shape) < 2:
            raise _misfit(number, "input", "have image axes and channels", shape)
        return (*_positions(stage, shape, number), *channels)
    if isinstance(stage, Dense):
        return (*shape[:-1], *channels)
    if isinstance(stage, Scale | Gate):
        return shape
    if isinstance(stage, GlobalPool):
        return channels
    if isinstance(stage, Flatten):
        return (math.prod(shape),)
    raise TypeError(
        f"`network` must hold stages of this module. Received: stage {number} = "
        f"{stage!r}."
    )


def _positions(stage: Conv | Pool, in_shape: Index, number: int) -> Index:
    """Number of window positions along each image axis."""
    allowed = ("valid", "same", "circular")[: 3 if isinstance(stage, Conv) else 2]
    if stage.padding not in allowed:
        expected = f"be one of {', '.join(allowed)}"
        raise _misfit(number, "padding", expected, stage.padding)
    image = in_shape[:-1]
    size, strides = window(stage, in_shape)
    for name, values in (("size", size), ("strides", strides)):
        whole = all(isinstance(v, int | np.integer) and v > 0 for v in values)
        if len(values) != len(image) or not whole:
            expected = f"be a positive whole number or {len(image)} of them"
            raise _misfit(number, name, expected, values)
    if stage.padding != "valid":
        return tuple(-(-n // s) for n, s in zip(image, strides, strict=True))
    if isinstance(stage, Conv):
        size = tuple((k - 1) * stage.dilation + 1 for k in size)
    if any(k > n for n, k in zip(image, size, strict=True)):
        raise _misfit(number, "size", f"fit into the image {image}", size)
    axes = zip(image, size, strides, strict=True)
    return tuple((n - k) // s + 1 for n, k, s in axes)


def _misfit(number: int, name: str, expectation: str, received: object) -> ValueError:
    return ValueError(
        f"`{name}` of stage {number} must {expectation}. Received: {received!r}."
    )
