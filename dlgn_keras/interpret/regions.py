"""Exact slices: the regions that gates cut a plane through the input space into."""

from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.nodes import check_model
from dlgn_keras.models import GatedModel, compose, fold
from dlgn_keras.tools.messages import check_count


class Region(NamedTuple):
    """A convex piece of the slice in which no gate switches.

    vertices: (corners, 2) float64, in slice coordinates (s, t), in order around it.
    gates: {site: bool array of its shape}, which gates are open inside.
    """

    vertices: np.ndarray
    gates: dict[str, np.ndarray]


def slice_regions(
    net: GatedModel,
    origin: Any,
    first: Any,
    second: Any,
    extent: tuple[float, float, float, float] = (-1.0, 1.0, -1.0, 1.0),
    max_regions: int = 20_000,
    num_sites: int | None = None,
) -> list[Region]:
    """Cut the plane `x = origin + s * first + t * second` into its linear regions.

    Exact: inside a region each pre-activation is affine in (s, t), so every gate
    cuts it by a straight line or not at all. In a DLGN the lines run through the
    whole plane; in a DNN or a DGN they bend where an earlier ReLU switches.

    Args:
        net: a DNN, DGN or DLGN of dense layers.
        origin, first, second: raw inputs (*input_shape) that span the plane.
        extent: (s from, s to, t from, t to), the part of the plane to cut.
        max_regions: the largest number of regions; more are an error.
        num_sites: number of sites whose gates cut, counted from the input; None for
            all.

    Returns:
        list of Region, which together fill the extent.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: convolutions or pooling, shapes that do not fit, an empty
            extent, or more than `max_regions` regions.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 4), (2,), num_classes=2, seed=0)
        >>> axes = np.eye(2)
        >>> 1 <= len(slice_regions(net, [0, 0], axes[0], axes[1])) <= 37
        True

    Reference: ICLR 2025 "Deep Networks Learn Features From Local Discontinuities
    in the Label Function" (pictures of discontinuities).
    """
    net, max_regions = check_model(net), check_count("max_regions", max_regions)
    left, right, low, high = _check_extent(extent)
    plane = _plane(net, origin, first, second)
    square = np.array([[left, low], [right, low], [right, high], [left, high]], float)
    pieces = [Region(square, {})]
    layers = fold(net.parameters("gating"))
    if num_sites is not None:
        check_count("num_sites", num_sites)
    for site, _ in net.sites[:num_sites]:
        cut: list[Region] = []
        linear = net.has_linear_gates  # then all pieces share the lines
        shared = compose(net, layers, plane, until=site)[site] if linear else None
        for piece in pieces:
            lines = shared
            if lines is None:
                lines = compose(net, layers, plane, piece.gates, site)[site]
            cut.extend(_cut(piece, site, lines, max_regions - len(cut)))
        pieces = cut
    return pieces


def path_regions(
    net: GatedModel, extent: tuple[float, float, float, float] = (-1.0, 1.0, -1.0, 1.0)
) -> list[list[Region]]:
    """Cut the plane of a network's two inputs by the gates up to each layer.

    Args:
        net: a DNN, DGN or DLGN of dense layers with two inputs.
        extent: (x from, x to, y from, y to), the part of the plane to cut.

    Returns:
        A list per site, in order: the regions cut by the gates up to that site.

    Raises:
        TypeError, ValueError: as `slice_regions`, or not two inputs.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 3), (2,), num_classes=2, seed=0)
        >>> first, both = path_regions(net)
        >>> list(first[0].gates), list(both[0].gates)
        (['dense_1'], ['dense_1', 'dense_2'])

    Reference: ICLR 2025 (see `slice_regions`), active path regions by layer.
    """
    shape = tuple(check_model(net).input_shape[1:])
    if shape != (2,):
        raise ValueError(
            f"`net` must have two inputs, shape (2,). Received: net of shape {shape}."
        )
    first, second = np.eye(2)
    return [
        slice_regions(net, np.zeros(2), first, second, extent, num_sites=k + 1)
        for k in range(len(net.sites))
    ]


def _plane(net: GatedModel, origin: Any, first: Any, second: Any) -> np.ndarray:
    """Return (3, *input_shape): the preprocessed origin and the two directions."""
    shape = tuple(net.input_shape[1:])
    named = {"origin": origin, "first": first, "second": second}
    rows = []
    for name, value in named.items():
        row = np.asarray(value, np.float64)
        if row.shape != shape:
            raise ValueError(
                f"`{name}` must have shape {shape}. "
                f"Received: {name} of shape {row.shape}."
            )
        rows.append(row)
    plane = np.stack(rows)
    if net.preprocessing is not None:
        plane = plane * np.asarray(net.preprocessing.scale)
        plane[0] += net.preprocessing.offset
    return plane


def _check_extent(extent: Any) -> tuple[float, ...]:
    try:
        limits = tuple(float(value) for value in extent)
    except (TypeError, ValueError):
        limits = ()
    if len(limits) != 4 or not (limits[0] < limits[1] and limits[2] < limits[3]):
        raise ValueError(
            "`extent` must be (s from, s to, t from, t to), each pair rising. "
            f"Received: extent={extent!r}."
        )
    return limits


def _cut(piece: Region, site: str, lines: np.ndarray, room: int) -> list[Region]:
    """Cut one region by the lines of one site."""
    polygons = [(piece.vertices, np.zeros(lines.shape[1], bool))]
    for unit in range(lines.shape[1]):
        constant, *slopes = lines[:, unit]
        kept = []
        for vertices, open_ in polygons:
            heights = vertices @ slopes + constant
            for side in (True, False):
                part = _half(vertices, heights if side else -heights)
                if part is not None:
                    pattern = open_.copy()
                    pattern[unit] = side
                    kept.append((part, pattern))
        polygons = kept
        if len(polygons) > room:
            raise ValueError(
                "`max_regions` must be larger than the number of regions in the "
                f"slice. Received: more than {room} more in site {site!r}."
            )
    return [Region(v, {**piece.gates, site: open_}) for v, open_ in polygons]


def _half(vertices: np.ndarray, heights: np.ndarray) -> np.ndarray | None:
    """Return the part of a convex polygon where the height is above 0, if any."""
    inside = heights > 0
    if inside.all():
        return vertices
    size = np.ptp(vertices, axis=0).max()
    part = []
    for k in range(len(vertices)):
        after = (k + 1) % len(vertices)
        if inside[k]:
            part.append(vertices[k])
        if inside[k] != inside[after]:
            share = heights[k] / (heights[k] - heights[after])
            part.append(vertices[k] + share * (vertices[after] - vertices[k]))
    corners = np.array(part)
    # A corner that only touches the line leaves a sliver without area.
    if len(part) < 3 or polygon_area(corners) <= 1e-14 * size**2:
        return None
    return corners


def polygon_area(vertices: np.ndarray) -> float:
    """Return the area of a polygon given by its corners in order."""
    x, y = vertices.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
