"""Pictures of the input plane: regions, active paths by layer, moving hyperplanes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.hyperplanes import Hyperplanes
from dlgn_keras.interpret.plots.style import figure, save_animation
from dlgn_keras.interpret.regions import Region
from dlgn_keras.tools.palette import AMOUNT, COLOURS, GREEN, ORANGE, PINK, SKY

Layers = Sequence[Sequence[Region]]
Extent = tuple[float, float, float, float]


def plot_path_regions(nets: Mapping[str, Layers], x: Any = None, y: Any = None) -> Any:
    """Draw the share of active paths over the plane, layer by layer.

    Each row is a network, each panel a layer. The gates up to that layer cut the
    regions; colour is the share of all paths up to the layer whose gates are all open.

    Args:
        nets: {name: `path_regions` of a network}.
        x: (n, 2) points to mark, if any. y: (n,) their classes.

    Returns:
        matplotlib Figure; brighter means more paths, and each panel has its own scale.
    """
    columns = max(len(layers) for layers in nets.values())
    made, axes = figure(len(nets), columns, (2.6, 2.2))
    made.suptitle("share of all paths up to a layer that are active", fontsize=9)
    for row, (name, layers) in enumerate(nets.items()):
        for place in axes[row, len(layers) :]:
            place.set_axis_off()
        for column, regions in enumerate(layers):
            place = axes[row, column]
            shares = [active_share(region) for region in regions]
            polygons = _fill(place, regions, shares, linewidths=0.2)
            polygons.set_clim(vmin=0)
            place.margins(0)
            made.colorbar(polygons, ax=place, fraction=0.046)
            place.set_xticks([])
            place.set_yticks([])
            site = list(regions[0].gates)[-1]
            place.set_title(f"up to {site}: {len(regions)} regions", fontsize=8)
            if column == 0:
                place.set_ylabel(name)
            _mark(place, x, y)
    return made


def plot_regions(
    regions: Sequence[Region], points: Any = None, labels: Any = None
) -> Any:
    """Draw a slice of regions, coloured by the share of open gates.

    Args:
        regions: the result of `slice_regions`.
        points: (n, 2) slice coordinates of data to mark, if any.
        labels: (n,) classes of the points.

    Returns:
        matplotlib Figure.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(1, 1), (2,), num_classes=2, seed=0)
        >>> found = dk.interpret.slice_regions(net, [0, 0], [1, 0], [0, 1])
        >>> dk.interpret.plots.plot_regions(found).axes[0].get_title()
        '2 regions'
    """
    made, axes = figure(1, 1, (5.4, 4.6))
    place = axes[0, 0]
    shares = [float(np.concatenate([*r.gates.values()]).mean()) for r in regions]
    polygons = _fill(place, regions, shares, linewidths=0.4)
    made.colorbar(polygons, ax=place, label="share of open gates")
    if points is not None:
        points = np.asarray(points)
        classes = np.zeros(len(points), int) if labels is None else np.asarray(labels)
        for k, label in enumerate(np.unique(classes)):
            place.scatter(
                *points[classes == label].T,
                s=28,
                marker="osD^vP*"[k % 7],
                facecolor=COLOURS[k % len(COLOURS)],
                edgecolor="white",
                label=f"class {label}",
            )
        place.legend(frameon=True, fontsize=8, loc="lower left")
    place.set_xlabel("s")
    place.set_ylabel("t")
    place.set_title(f"{len(regions)} regions", fontsize=10)
    return made


def _fill(
    place: Any, regions: Sequence[Region], values: Sequence[Any], linewidths: float
) -> Any:
    """Draw regions coloured by values; return the collection."""
    from matplotlib.collections import PolyCollection

    corners = [region.vertices for region in regions]
    options = {"edgecolors": "white", "linewidths": linewidths, "cmap": AMOUNT}
    polygons = PolyCollection(corners, **options)
    polygons.set_array(np.array(values))
    place.add_collection(polygons)
    place.autoscale_view()
    place.set_aspect("equal")
    return polygons


def active_share(region: Region) -> float:
    """Return the share of paths through a region whose gates are all open."""
    return float(np.prod([np.mean(open_) for open_ in region.gates.values()]))


def animate_hyperplanes(
    records: Sequence[Hyperplanes],
    path: str | Path,
    epochs: Sequence[int] | None = None,
    x: Any = None,
    y: Any = None,
    tree: ObliqueTree | None = None,
    extent: Extent = (-1.0, 1.0, -1.0, 1.0),
    frames_per_second: int = 8,
) -> Path:
    """Write a GIF of the hyperplanes of a two-input network during training.

    Lines are coloured by their site; the nodes of a tree are dashed and black, each
    over the part of the plane that it splits.

    Args:
        records: hyperplanes, one frame each, such as `HyperplaneRecorder.records`.
        path: file to write, ending in ".gif".
        epochs: the epoch to write above each frame; 0, 1, ... if None.
        x: (n, 2) points to mark, if any. y: (n,) their classes.
        tree: tree whose nodes to draw, if any.
        extent: (x from, x to, y from, y to), the part of the plane to show.
        frames_per_second: frame rate of the GIF.

    Returns:
        The path.

    Raises:
        ValueError: no records, more or fewer epochs than records, or hyperplanes of
            a network without two inputs.
    """
    if not len(records) or any(r.normals.shape[1] != 2 for r in records):
        raise ValueError(
            "`records` must hold hyperplanes of a network of two inputs. Received: "
            f"normals of shapes {[r.normals.shape for r in records][:3]}."
        )
    epochs = list(range(len(records))) if epochs is None else list(epochs)
    if len(epochs) != len(records):
        raise ValueError(
            f"`epochs` must hold {len(records)} numbers, one a record. "
            f"Received: {len(epochs)}."
        )
    made, axes = figure(1, 1, (4.6, 4.6))
    place = axes[0, 0]
    _mark(place, x, y)
    if tree is not None:
        for start, end in node_segments(tree, extent):
            place.plot(*zip(start, end, strict=True), "k--", linewidth=1.4)
    sites = list(dict.fromkeys(records[0].sites.tolist()))
    lines = [
        place.plot([], [], color=COLOURS[sites.index(site) % 6], linewidth=1)[0]
        for site in records[0].sites
    ]
    for k, site in enumerate(sites):
        place.plot([], [], color=COLOURS[k % 6], label=site)
    place.legend(loc="upper right", fontsize=7)
    place.set_xlim(*extent[:2])
    place.set_ylim(*extent[2:])
    place.set_aspect("equal")

    def show(k: int) -> list[Any]:
        for line, normal, offset in zip(
            lines, records[k].normals, records[k].offsets, strict=True
        ):
            ends = clip_line(normal, float(offset), extent)
            line.set_data(*(ends.T if len(ends) else ([], [])))
        place.set_title(f"epoch {epochs[k]}", fontsize=10)
        return lines

    return save_animation(made, show, len(records), path, frames_per_second)


def clip_line(normal: np.ndarray, offset: float, extent: Extent) -> np.ndarray:
    """Return the two ends of `normal . x + offset = 0` in a rectangle, or none.

    Example:
        >>> import numpy as np
        >>> clip_line(np.array([1.0, 0.0]), -0.5, (-1, 1, -1, 1)).tolist()
        [[0.5, -1.0], [0.5, 1.0]]
    """
    length = float(np.linalg.norm(normal))
    if not length:
        return np.zeros((0, 2))
    normal, offset = normal / length, offset / length
    foot, along = -offset * normal, np.array([-normal[1], normal[0]])
    low, high = -np.inf, np.inf
    for axis, (start, end) in enumerate((extent[:2], extent[2:])):
        if abs(along[axis]) < 1e-12:
            if not start <= foot[axis] <= end:
                return np.zeros((0, 2))
            continue
        ends = sorted(((v - foot[axis]) / along[axis]) for v in (start, end))
        low, high = max(low, ends[0]), min(high, ends[1])
    if low >= high:
        return np.zeros((0, 2))
    return foot + np.array([[low], [high]]) * along


def node_segments(tree: ObliqueTree, extent: Extent) -> list[tuple[Any, Any]]:
    """Return a segment per node of a two-feature tree, within the part it splits."""
    found = []
    for node in np.flatnonzero(tree.asks):
        ends = clip_line(tree.normals[node], float(tree.biases[node]), extent)
        below = int(node)
        while below and len(ends):
            above, yes = (below - 1) // 2, below % 2 == 0
            heights = ends @ tree.normals[above] + tree.biases[above]
            ends = _keep(ends, heights if yes else -heights)
            below = above
        if len(ends):
            found.append((ends[0], ends[1]))
    return found


def _keep(ends: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return the part of a segment where the height, linear along it, is above 0."""
    if (heights > 0).all():
        return ends
    if not (heights > 0).any():
        return ends[:0]
    cut = ends[0] + heights[0] / (heights[0] - heights[1]) * (ends[1] - ends[0])
    return np.array(
        [cut if heights[0] <= 0 else ends[0], cut if heights[1] <= 0 else ends[1]]
    )


def _mark(place: Any, x: Any, y: Any) -> None:
    if x is None:
        return
    x = np.asarray(x)
    classes = np.zeros(len(x), int) if y is None else np.asarray(y)
    for k, label in enumerate(np.unique(classes)):
        place.scatter(
            *x[classes == label].T,
            s=5,
            color=(SKY, ORANGE, GREEN, PINK)[k % 4],
            alpha=0.6,
            linewidths=0,
            zorder=2,
        )
