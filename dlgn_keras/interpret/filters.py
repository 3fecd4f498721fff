"""Gate filters: every gate of a DLGN as one filter on the network's input.

A linear gating network composes: a chain of convolutions is one convolution with a
larger window, so each gate's pre-activation is an affine map of the input in closed
form. Near the border of the image every layer pads its own input with zeros, and a
single convolution is not exact; `filters_at` gives the exact map there.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.local import AffineUnits, filters_at
from dlgn_keras.interpret.nodes import Nodes, check_model, gating_nodes
from dlgn_keras.models import Folded, GatedModel, fold
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    walk,
)
from dlgn_keras.skeletons.rules import StageRules
from dlgn_keras.skeletons.window import Window
from dlgn_keras.tools.messages import check_choice

UNBOUNDED = 2**40
Layers = Mapping[str, Folded]


class GateFilters(NamedTuple):
    """`q[p] = sum_t kernel[t] . z[p * strides + start + t] + offset` at a site.

    z is the preprocessed input, 0 outside the image. At a dense site there is one
    position, the window is the whole input, and the formula holds exactly.

    kernel: (*window, in_channels, units) float64; (dim, units) for a vector input.
    offset: (units,) float64, biases and batch norm shifts accumulated.
    strides, start: one number per image axis, in input pixels; start is where the
        window of position 0 begins (below 0: in the padding).
    interior: (first, stop) per image axis: the positions where the formula is exact.
        At other positions a stage after the first reads its own zero padding, or
        circular padding wraps around: use `filters_at` there. Empty (first >= stop)
        if the window outgrows the image; the kernel then holds only the taps that
        some position places on the image.
    """

    kernel: np.ndarray
    offset: np.ndarray
    strides: tuple[int, ...]
    start: tuple[int, ...]
    interior: tuple[tuple[int, int], ...]


def gate_filters(net: GatedModel, site: str) -> GateFilters:
    """Return the closed-form filters of one site of a DLGN.

    The primal linearity: the pre-activations of a DLGN are affine in the input,
    `q_l = V_l z + c_l`, and batch norm is folded in. In a convolutional network V_l
    is one convolution with the receptive field of the chain.

    Args:
        net: a DLGN (shallow or not), trained or not.
        site: name of the gated stage whose gates are computed, see `net.sites`;
            with a gate order they are applied at another stage.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: a DNN or a DGN (see `local_filters`), or an unknown site.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(8), (16, 16, 3), num_classes=10)
        >>> found = gate_filters(net, "conv_3")
        >>> found.kernel.shape, found.interior
        ((7, 7, 3, 8), ((2, 14), (2, 14)))

    Reference: ICLR 2025 "Deep Networks Learn Features From Local Discontinuities
    in the Label Function" (hyperplanes of dense sites); the convolutional form is
    ours.
    """
    return _filters(net, (site,))[site]


def all_gate_filters(net: GatedModel) -> dict[str, GateFilters]:
    """Return {site: GateFilters} for every site of a DLGN, in one walk.

    Args, Raises: as `gate_filters`.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 8), (8, 8, 1), num_classes=10)
        >>> [f.kernel.shape for f in all_gate_filters(net).values()]
        [(8, 8, 1, 8), (8, 8, 1, 8)]
    """
    pools = _pools(check_model(net))
    return _filters(net, tuple(s.name for s in net.sites if s.name not in pools))


def _pools(net: GatedModel) -> set[str]:
    return {s.name for s in walk(net.skeleton.stages) if s.selects}


def _filters(net: GatedModel, sites: tuple[str, ...]) -> dict[str, GateFilters]:
    net = check_model(net)
    shapes = dict(net.sites)
    for site in sites:
        check_choice("site", site, shapes)
        if site in _pools(net):
            raise ValueError(
                "`site` must be a site of a ReLU: a max pooling selects among the "
                f"filters before it. Received: site={site!r}."
            )
    if not net.has_linear_gates:
        raise ValueError(
            "`net` must be a DLGN: the gates of a DNN or a DGN have no filters of "
            "their own, only local ones that change with the input (see "
            f"local_filters). Received: a {net.family.upper()}."
        )
    layers = fold(net.parameters("gating"))
    found: dict[str, GateFilters] = {}
    known: dict[str, GateFilters | None] = {}
    for site in sites:
        if len(shapes[site]) == 1:
            found[site] = _whole_input(net, filters_at(net, site))
        else:
            if net.arguments["shallow"]:
                known = {}
            found[site] = _along(gating_nodes(net, site), layers, known)
    return found


def _whole_input(net: GatedModel, units: AffineUnits) -> GateFilters:
    kernel = np.moveaxis(units.rows, 0, -1).astype(np.float64)
    axes = len(net.input_shape) - 2
    offset = units.offset.astype(np.float64)
    return GateFilters(kernel, offset, (1,) * axes, (0,) * axes, ((0, 1),) * axes)


def _along(
    nodes: Nodes, layers: Mapping[str, Folded], known: dict[str, Any]
) -> GateFilters:
    """Compose the filters of the last node; `known` keeps those of every node."""
    *sizes, channels = nodes[0].shape
    one = (1,) * len(sizes)
    known.setdefault(
        nodes[0].name,
        GateFilters(
            np.eye(channels).reshape(*one, channels, channels),
            np.zeros(channels),
            one,
            (0,) * len(sizes),
            # z is 0 outside the image, as zero padding is: no position is inexact.
            ((-UNBOUNDED, UNBOUNDED),) * len(sizes),
        ),
    )
    for node in nodes[1:]:
        if node.name in known:
            continue
        sources = [known[nodes[k].name] for k in node.inputs]
        shape = nodes[node.inputs[0]].shape
        made = FILTERS(node.stage, sources, layers, shape, node.shape[:-1])
        known[node.name] = _cut(made, tuple(sizes), node.shape[:-1])
    return known[nodes[-1].name]


# stage, filters before it, layers, shape of its input, positions of its output
# -> filters after it
FILTERS = StageRules("A filter of the input")
FILTERS.refuse(
    *(Dense, Flatten, GlobalPool), reason="it has no positions that a filter moves over"
)
Positions = tuple[int, ...]


@FILTERS.rule(Residual, "body", "shortcut", "gated")
def _block(stage: Residual, sources: list[GateFilters], *_: Any) -> GateFilters:
    return _add(*sources)


@FILTERS.rule(Conv, "window", "affine", "gated")
def _conv(
    stage: Conv, sources: list, layers: Layers, shape: Positions, positions: Positions
) -> GateFilters:
    layer = layers[stage.name]
    return _convolved(sources[0], stage.window, layer, shape[:-1], positions)


@FILTERS.rule(AveragePool, "window")
@FILTERS.rule(MaxPool, "window")  # a linear gating network takes its means
def _mean(
    stage: Any, sources: list, layers: Layers, shape: Positions, positions: Positions
) -> GateFilters:
    units, size, axes = shape[-1], stage.pool_size, len(positions)
    each = np.eye(units) / size**axes
    kernel = np.broadcast_to(each, (*(size,) * axes, units, units))
    mean = Folded(kernel, np.zeros(units))
    return _convolved(sources[0], stage.window, mean, shape[:-1], positions)


def _convolved(
    source: GateFilters,
    window: Window,
    layer: Folded,
    sizes: tuple[int, ...],
    positions: tuple[int, ...],
) -> GateFilters:
    """Return the filters of `source` followed by a convolution."""
    span, stride = window.span, window.strides
    before = [window.pads(n)[0] for n in sizes]
    small = source.kernel.shape[:-2]
    grown = [w + (span - 1) * s for w, s in zip(small, source.strides, strict=True)]
    kernel = np.zeros((*grown, source.kernel.shape[-2], layer.kernel.shape[-1]))
    offset = np.zeros(layer.kernel.shape[-1])
    for tap in np.ndindex(*(window.size,) * len(small)):
        starts = [
            window.offsets[j] * s for j, s in zip(tap, source.strides, strict=True)
        ]
        place = tuple(slice(k, k + w) for k, w in zip(starts, small, strict=True))
        kernel[place] += source.kernel @ layer.kernel[tap]
        offset += source.offset @ layer.kernel[tap]
    exact = source.interior
    if window.padding != "same":  # a wrapped image is not 0 beyond its edge
        exact = tuple(
            (max(first, 0), min(stop, n))
            for (first, stop), n in zip(exact, sizes, strict=True)
        )
    interior = tuple(
        (max(-(-(first + pad) // stride), 0), min((stop - span + pad) // stride + 1, n))
        for (first, stop), pad, n in zip(exact, before, positions, strict=True)
    )
    axes = zip(source.start, before, source.strides, strict=True)
    return GateFilters(
        kernel,
        offset + layer.constant,
        tuple(s * stride for s in source.strides),
        tuple(start - pad * s for start, pad, s in axes),
        interior,
    )


def _add(a: GateFilters, b: GateFilters) -> GateFilters:
    """Return the filters of the sum of two branches, their windows aligned."""
    start = tuple(min(pair) for pair in zip(a.start, b.start, strict=True))
    stop = tuple(
        max(s + w for s, w in ends)
        for ends in zip(
            zip(a.start, a.kernel.shape, strict=False),
            zip(b.start, b.kernel.shape, strict=False),
            strict=True,
        )
    )
    window = [last - first for first, last in zip(start, stop, strict=True)]
    kernel = np.zeros((*window, *a.kernel.shape[-2:]))
    for part in (a, b):
        place = tuple(
            slice(s - first, s - first + w)
            for s, first, w in zip(part.start, start, part.kernel.shape, strict=False)
        )
        kernel[place] += part.kernel
    interior = tuple(
        (max(p[0], q[0]), min(p[1], q[1]))
        for p, q in zip(a.interior, b.interior, strict=True)
    )
    return GateFilters(kernel, a.offset + b.offset, a.strides, start, interior)


def _cut(
    filters: GateFilters, sizes: tuple[int, ...], positions: tuple[int, ...]
) -> GateFilters:
    """If no position is exact, drop the taps that no position places on the image."""
    if all(first < stop for first, stop in filters.interior):
        return filters
    kernel, start = filters.kernel, list(filters.start)
    for axis, (n, count) in enumerate(zip(sizes, positions, strict=True)):
        furthest = (count - 1) * filters.strides[axis]
        first = max(-(furthest + start[axis]), 0)
        stop = min(n - start[axis], kernel.shape[axis])
        kernel = kernel[(slice(None),) * axis + (slice(first, stop),)]
        start[axis] += first
    return filters._replace(kernel=kernel, start=tuple(start))


class Spectrum(NamedTuple):
    """The frequency response of every filter of a site.

    frequencies: one array per image axis, cycles per pixel, ascending from -0.5.
    magnitude: (*numbers of frequencies, in_channels, units), the response to a plane
        wave of unit amplitude in one input channel:
        |sum_t kernel[t] exp(2 pi i f . t)|.
    """

    frequencies: tuple[np.ndarray, ...]
    magnitude: np.ndarray


def spectrum(net: GatedModel | GateFilters, site: str = "", size: int = 32) -> Spectrum:
    """Return the frequency response of the filters of a DLGN's site.

    Args:
        net: a DLGN, or the result of `gate_filters`.
        site: name of a gated stage; not needed for given filters.
        size: smallest number of frequencies per axis; a window with more taps has
            one frequency per tap, so that nothing is lost.

    Raises:
        ValueError: as `gate_filters`, or an input without image axes.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(8), (16, 16, 3), num_classes=10)
        >>> spectrum(net, "conv_2", size=16).magnitude.shape
        (16, 16, 3, 8)
    """
    filters = net if isinstance(net, GateFilters) else gate_filters(net, site)
    window = filters.kernel.shape[:-2]
    if not window:
        raise ValueError(
            "`net` must take sequences or images: a vector has no frequencies. "
            f"Received: filters of shape {filters.kernel.shape}."
        )
    axes = tuple(range(len(window)))
    sizes = [max(n, size) for n in window]
    response = np.fft.fftn(filters.kernel, sizes, axes)
    frequencies = tuple(np.fft.fftshift(np.fft.fftfreq(n)) for n in sizes)
    return Spectrum(frequencies, np.abs(np.fft.fftshift(response, axes)))
