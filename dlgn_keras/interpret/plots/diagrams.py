"""Pictures of paths, hyperplanes, margins, regions and faithfulness curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlgn_keras.interpret.plots.style import AMOUNT, COLOURS, figure
from dlgn_keras.interpret.regions import Region
from dlgn_keras.interpret.top_paths import TopPaths


def plot_paths(top: TopPaths) -> Any:
    """Draw the top paths as lines from layer to layer, one dot per unit.

    Solid orange lines add to the logit, dashed blue lines take from it; a wider line
    contributes more. Units are named by their index: channel, or (row, column,
    channel).

    Args:
        top: what `top_paths` returned.

    Returns:
        matplotlib Figure.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 4), (3,), num_classes=2)
        >>> top = dk.interpret.top_paths(net, np.ones(3), k=5)
        >>> figure = dk.interpret.plots.plot_paths(top)
        >>> figure.axes[0].get_xticklabels()[-1].get_text()
        'logits'
    """
    stages = layers_of(top)
    made, axes = figure(1, 1, (max(1.5 * len(stages), 6), 0.4 * len(top.paths) + 2))
    place = axes[0, 0]
    heights = heights_of(top)
    largest = max((abs(path.contribution) for path in top.paths), default=1.0)
    for path in reversed(top.paths):
        points = [
            (stages.index(name), heights[name, unit]) for name, unit in path.units
        ]
        positive = path.contribution > 0
        place.plot(
            *zip(*points, strict=True),
            color=COLOURS[1] if positive else COLOURS[0],
            linestyle="-" if positive else "--",
            linewidth=0.8 + 3.2 * abs(path.contribution) / largest,
            alpha=0.8,
        )
    for (name, unit), height in heights.items():
        place.plot(stages.index(name), height, "o", color="black", markersize=4)
        label = ",".join(map(str, unit))
        place.annotate(
            label,
            (stages.index(name), height),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    place.set_xticks(range(len(stages)), stages, rotation=20, ha="right")
    place.set_yticks([])
    place.margins(0.06, 0.12)
    for side in ("top", "left", "right"):
        place.spines[side].set_visible(False)
    place.set_title(
        f"{len(top.paths)} largest paths to logit {top.target}: "
        f"{top.share:.2%} of its value {top.logit:.2f}\n"
        "solid orange adds, dashed blue takes away",
        fontsize=10,
    )
    return made


def layers_of(top: TopPaths) -> list[str]:
    """Return the layers where top paths meet units, in order from the input."""
    order: list[str] = []
    for path in sorted(top.paths, key=lambda path: -len(path.units)):
        at = 0
        for name, _ in path.units:
            if name in order:
                at = order.index(name) + 1
            else:
                order.insert(at, name)
                at += 1
    return order


def heights_of(top: TopPaths) -> dict[tuple[str, tuple[int, ...]], float]:
    """Return where to draw each unit: spread over its layer, from 0 to 1."""
    units: dict[str, list[tuple[int, ...]]] = {}
    for path in top.paths:
        for name, unit in path.units:
            if unit not in units.setdefault(name, []):
                units[name].append(unit)
    return {
        (name, unit): 1 - (k + 0.5) / len(met)
        for name, met in units.items()
        for k, unit in enumerate(sorted(met))
    }


def plot_distances(distances: np.ndarray, sites: Sequence[Any]) -> Any:
    """Draw how far each hyperplane is from each other, ordered as given.

    Args:
        distances: (planes, planes), what `distances` returned.
        sites: (planes,) site of each, `Hyperplanes.sites`.

    Returns:
        matplotlib Figure; 0 is the same hyperplane, 1.41 orthogonal ones.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 4), (3,), num_classes=2)
        >>> planes = dk.interpret.hyperplanes(net)
        >>> apart = dk.interpret.distances(planes)
        >>> figure = dk.interpret.plots.plot_distances(apart, planes.sites)
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['dense_1', 'dense_2']
    """
    made, axes = figure(1, 1, (5.0, 4.2))
    place = axes[0, 0]
    picture = place.imshow(distances, cmap=AMOUNT, vmin=0, vmax=np.sqrt(2))
    made.colorbar(picture, ax=place, label="distance of hyperplanes")
    names, starts, counts = np.unique(
        np.asarray(sites), return_index=True, return_counts=True
    )
    place.set_xticks(starts + (counts - 1) / 2, names)
    place.set_yticks(starts + (counts - 1) / 2, names, rotation=90, va="center")
    for start in starts:
        place.axhline(start - 0.5, color="white", linewidth=1)
        place.axvline(start - 0.5, color="white", linewidth=1)
    return made


def plot_margins(margins: Mapping[str, np.ndarray]) -> Any:
    """Draw how the signed distances of data to hyperplanes are spread, by site.

    Args:
        margins: what `margins` returned.

    Returns:
        matplotlib Figure.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> found = {"dense_1": np.random.default_rng(0).normal(size=(50, 4))}
        >>> dk.interpret.plots.plot_margins(found).axes[0].get_ylabel()
        'density'
    """
    made, axes = figure(1, 1, (6.0, 3.4))
    place = axes[0, 0]
    all_values = np.concatenate([values.ravel() for values in margins.values()])
    bins = np.histogram_bin_edges(all_values, bins=60)
    for k, (site, values) in enumerate(margins.items()):
        place.hist(
            values.ravel(),
            bins=list(bins),
            histtype="step",
            density=True,
            color=COLOURS[k % len(COLOURS)],
            linestyle=("-", "--", ":")[k // len(COLOURS) % 3],
            linewidth=1.6,
            label=site,
        )
    place.axvline(0, color="black", linewidth=0.8)
    place.set_xlabel("signed distance to the hyperplane (network input units)")
    place.set_ylabel("density")
    place.legend(frameon=False, loc="upper right")
    return made


def plot_regions(
    regions: Sequence[Region], points: Any = None, labels: Any = None
) -> Any:
    """Draw a slice of regions, coloured by the share of open gates.

    Args:
        regions: what `slice_regions` returned.
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
    from matplotlib.collections import PolyCollection

    made, axes = figure(1, 1, (5.4, 4.6))
    place = axes[0, 0]
    open_ = [np.mean(np.concatenate(list(r.gates.values()))) for r in regions]
    polygons = PolyCollection(
        [r.vertices for r in regions], edgecolors="white", linewidths=0.4, cmap=AMOUNT
    )
    polygons.set_array(np.array(open_))
    place.add_collection(polygons)
    place.autoscale_view()
    place.set_aspect("equal")
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


def plot_curves(curves: Mapping[str, np.ndarray], ylabel: str) -> Any:
    """Draw deletion or insertion curves, mean over images with its 95 % interval.

    Args:
        curves: {method: (images, steps + 1)}, see `deletion_curves`.
        ylabel: what is measured, such as "probability of the class".

    Returns:
        matplotlib Figure.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> curves = {"ours": np.random.default_rng(0).random((10, 5))}
        >>> dk.interpret.plots.plot_curves(curves, "probability").axes[0].get_ylabel()
        'probability'
    """
    made, axes = figure(1, 1, (6.0, 3.8))
    place = axes[0, 0]
    for k, (method, values) in enumerate(curves.items()):
        mean = values.mean(0)
        error = 1.96 * values.std(0, ddof=1) / np.sqrt(len(values))
        share = np.linspace(0, 100, len(mean))
        colour = COLOURS[k % len(COLOURS)]
        style = ("-", "--", "-.", ":")[k % 4]
        place.plot(share, mean, style, color=colour, label=method, linewidth=1.8)
        place.fill_between(share, mean - error, mean + error, color=colour, alpha=0.15)
    place.set_xlabel("pixels changed (%)")
    place.set_ylabel(ylabel)
    place.legend(frameon=False, fontsize=9, loc="upper right")
    return made
