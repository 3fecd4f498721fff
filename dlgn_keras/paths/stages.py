"""Stages a network is described by, and the sub-networks of a residual net."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    """

    kernel: ArrayLike
    bias: ArrayLike | None = None
    strides: int | Index = 1
    padding: str = "valid"


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
