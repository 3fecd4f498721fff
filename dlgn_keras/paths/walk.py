"""The walk: every path of a network, one after the other, and their number."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dlgn_keras.paths.stages import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    Gate,
    GlobalPool,
    Index,
    MaxPool,
    Placed,
    Residual,
    Scale,
    Stage,
    place,
    taps,
    window,
)


class Weight(NamedTuple):
    """One entry of a weight array.

    stage: number of its stage, counted from 0 in order; a residual block counts,
        then its body's stages, then its shortcut's.
    name: field of the stage: kernel, bias, scale or offset. index: place in the array.
    """

    stage: int
    name: str
    index: Index  # pyright: ignore[reportIncompatibleMethodOverride]


class Path(NamedTuple):
    """One member of a path, from a unit of the input to a unit of the output.

    source: index of the input unit, or None for a constant 1.
    target: index of the output unit.
    key: the weights along the path, in order; members with one key are one path.
    gates: the gates along the path, each (site, index in that site's array).
    factor: product of the pooling factors, 1 / entries of the window.
    """

    source: Index | None
    target: Index
    key: tuple[Weight, ...] = ()
    gates: tuple[tuple[int, Index], ...] = ()
    factor: float = 1.0


def enumerate_paths(
    network: Sequence[Stage],
    input_shape: Sequence[int],
    target: int | Index | None = None,
    max_paths: int = 10**6,
) -> Iterator[Path]:
    """Walk every path of the network, whether its gates are open or not.

    Args:
        network: sequence of stages.
        input_shape: shape of one example, without the batch axis.
        target: index of the output unit where the paths end; None for all units.
        max_paths: largest number of paths that will be walked.

    Raises:
        TypeError: a stage is of no known kind.
        ValueError: the shapes do not fit, or there are more than `max_paths` paths.

    Example:
        >>> from dlgn_keras.paths import Dense, Gate
        >>> network = [Dense(np.ones((2, 3))), Gate(), Dense(np.ones((3, 1)))]
        >>> [path.source for path in enumerate_paths(network, (2,))]
        [(0,), (1,), (0,), (1,), (0,), (1,)]
    """
    stages, shape = place(network, input_shape)
    number = count_paths(network, input_shape, target)
    if number > max_paths:
        raise ValueError(
            f"`network` must have at most max_paths={max_paths} paths to be walked. "
            f"Received: a network with {number} paths."
        )
    units = np.ndindex(*shape) if target is None else [_unit(target, shape)]
    return itertools.chain.from_iterable(_walk(stages, unit) for unit in units)


def count_paths(
    network: Sequence[Stage],
    input_shape: Sequence[int],
    target: int | Index | None = None,
) -> int:
    """Count what `enumerate_paths` would yield, by dynamic programming.

    Args:
        network: sequence of stages.
        input_shape: shape of one example, without the batch axis.
        target: index of the output unit where the paths end; None for all units.

    Raises:
        TypeError: a stage is of no known kind.
        ValueError: the shapes do not fit.

    Example:
        >>> from dlgn_keras.paths import Dense
        >>> count_paths([Dense(np.ones((128, 128)))] * 3, (128,), target=0)
        2097152
    """
    stages, shape = place(network, input_shape)
    ones = np.full(tuple(input_shape), 1, dtype=object)  # Python integers: unbounded
    counts = _count(stages, ones)
    return int(counts.sum() if target is None else counts[_unit(target, shape)])


def _walk(stages: Sequence[Placed], unit: Index) -> Iterator[Path]:
    """Yield the paths that end in `unit` after these stages, walking backwards."""
    if not stages:
        yield Path(unit, unit)
        return
    for last in _steps(stages[-1], unit):
        if last.source is None:
            yield last
            continue
        for first in _walk(stages[:-1], last.source):
            yield Path(
                first.source,
                last.target,
                first.key + last.key,
                first.gates + last.gates,
                first.factor * last.factor,
            )


def _steps(placed: Placed, unit: Index) -> Iterator[Path]:
    """Yield the paths through one stage, from its input or a constant to `unit`."""
    stage, number, in_shape = placed.stage, placed.number, placed.in_shape
    position, channel = unit[:-1], unit[-1]
    if isinstance(stage, Residual):
        yield from _walk(placed.body, unit)
        yield from _walk(placed.shortcut, unit)
    elif isinstance(stage, Dense):
        for i in range(in_shape[-1]):
            weight = Weight(number, "kernel", (i, channel))
            yield Path((*position, i), unit, (weight,))
    elif isinstance(stage, Conv):
        read = in_shape[-1] // stage.groups
        group = channel * stage.groups // np.shape(stage.kernel)[-1]
        for offset, source in taps(stage, in_shape, position):
            for i in range(read):
                weight = Weight(number, "kernel", (*offset, i, channel))
                yield Path((*source, group * read + i), unit, (weight,))
    elif isinstance(stage, Scale):
        yield Path(unit, unit, (Weight(number, "scale", (channel,)),))
    elif isinstance(stage, Gate):
        yield Path(unit, unit, gates=((placed.site, unit),))
    elif isinstance(stage, MaxPool):
        size, _ = window(stage, in_shape)
        for offset, source in taps(stage, in_shape, position):
            entry = int(np.ravel_multi_index(offset, size))
            gate = (placed.site, (*unit, entry))
            yield Path((*source, channel), unit, gates=(gate,))
    elif isinstance(stage, AveragePool | GlobalPool):
        if isinstance(stage, AveragePool):
            places = [source for _, source in taps(stage, in_shape, position)]
        else:
            places = list(np.ndindex(*in_shape[:-1]))
        for source in places:
            yield Path((*source, channel), unit, factor=1 / len(places))
    elif isinstance(stage, Flatten):
        source = tuple(int(i) for i in np.unravel_index(channel, in_shape))
        yield Path(source, unit)
    for name in ("bias", "offset"):
        if getattr(stage, name, None) is not None:
            yield Path(None, unit, (Weight(number, name, (channel,)),))


def _count(stages: Sequence[Placed], counts: np.ndarray) -> np.ndarray:
    """Number of paths to each unit after the stages, from the number before them."""
    for placed in stages:
        if isinstance(placed.stage, Residual):
            counts = _count(placed.body, counts) + _count(placed.shortcut, counts)
            continue
        totals = np.zeros(placed.out_shape, dtype=object)
        alike = isinstance(placed.stage, Dense | Conv)  # in all channels of a group
        groups = getattr(placed.stage, "groups", 1)
        for unit in np.ndindex(*placed.out_shape):
            if alike and unit[-1] % (placed.out_shape[-1] // groups):
                totals[unit] = totals[(*unit[:-1], unit[-1] - 1)]
            else:
                sources = [step.source for step in _steps(placed, unit)]
                totals[unit] = sum(1 if s is None else counts[s] for s in sources)
        counts = totals
    return counts


def _unit(target: int | Index, shape: Index) -> Index:
    """Index of an output unit as a tuple, checked."""
    unit = tuple(target) if isinstance(target, tuple | list) else (target,)
    if unit not in np.ndindex(*shape):
        raise ValueError(
            f"`target` must be the index of a unit in an output of shape {shape}. "
            f"Received: target={target!r}."
        )
    return tuple(int(i) for i in unit)
