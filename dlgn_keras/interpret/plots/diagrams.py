"""Pictures of paths, distances, margins, faithfulness curves and trees."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.plots.style import figure
from dlgn_keras.interpret.top_paths import TopPaths
from dlgn_keras.tools.palette import AMOUNT, BLUE, COLOURS, ORANGE

HEIGHT = 1.1  # inches per level of a tree
WIDTH = 1.25  # inches per leaf


def plot_paths(top: TopPaths) -> Any:
    """Draw the top paths as lines from layer to layer, one dot per unit.

    Solid orange lines add to the logit, dashed blue lines subtract from it; wider
    lines contribute more. Units are named by their index: channel, or (row, column,
    channel).

    Args:
        top: the result of `top_paths`.

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
            color=ORANGE if positive else BLUE,
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
    """Return the layers that the top paths pass through, in order from the input."""
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
    """Return the height of each unit: evenly spread over its layer, from 0 to 1."""
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
    """Draw the matrix of distances between hyperplanes, ordered as given.

    Args:
        distances: (planes, planes), the result of `distances`.
        sites: (planes,) site of each, `Hyperplanes.sites`.

    Returns:
        matplotlib Figure; 0 means the same hyperplane, 1.41 orthogonal hyperplanes.

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
    """Draw the distribution of signed distances from data to hyperplanes, by site.

    Args:
        margins: the result of `margins`.

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


def plot_curves(curves: Mapping[str, np.ndarray], ylabel: str) -> Any:
    """Draw deletion or insertion curves: means over images with 95 % intervals.

    Args:
        curves: {method: (images, steps + 1)}, see `deletion_curves`.
        ylabel: label of the vertical axis, such as "probability of the class".

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


def plot_tree(
    tree: ObliqueTree,
    x: Any = None,
    y: Any = None,
    names: Sequence[str] | None = None,
    terms: int = 2,
    class_names: Sequence[Any] | None = None,
) -> Any:
    """Draw a tree from its root down, "no" to the left and "yes" to the right.

    A node shows its number and question; a leaf shows its class, in the colour of the
    class, or its number. With points, both show the number of points that reach them,
    and a leaf with a class also the share of them that it classifies correctly.

    Args:
        tree: the result of `oblique_tree`, or any other tree.
        x: (n, dim) points to send down the tree, if any.
        y: (n,) their classes, if x is given and leaves hold classes.
        names: (dim,) names of the features; default "x0", "x1", ...
        terms: number of features to write per question, the largest weights first.
        class_names: a name for each class number; default the numbers.

    Returns:
        matplotlib Figure.

    Raises:
        ValueError: points of another dimension, or a number of names other than `dim`.
    """
    names = tree.check_names(names)
    places, lines = _layout(tree)
    met = None if x is None else _met(tree, x, np.ones(len(x)))
    hits = None
    if x is not None and tree.leaf_labels.dtype.kind == "i":
        hits = _met(tree, x, tree.predict(x) == np.asarray(y))
    levels = max(-h for _, h in places.values()) + 1
    leaves = sum(node >= len(tree.normals) for node in places)
    made, axes = figure(1, 1, (max(5.0, WIDTH * leaves), HEIGHT * levels))
    place = axes[0, 0]
    for parent, child, answer in lines:
        (a, b), (c, d) = places[parent], places[child]
        place.plot([a, c], [b, d], color="0.6", linewidth=1.2, zorder=1)
        place.text((a + c) / 2, (b + d) / 2, answer, fontsize=7, color="0.3")
    for node, (across, height) in places.items():
        text, colour = _label(tree, node, names, terms, class_names)
        if met is not None:
            text += f"\n{met[node]} points"
            if hits is not None and node >= len(tree.normals) and met[node]:
                text += f"\n{hits[node] / met[node]:.1%} right"
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": colour}
        place.text(across, height, text, ha="center", va="center", fontsize=7, bbox=box)
    place.set_xlim(-0.6, leaves - 0.4)
    place.set_ylim(-levels + 0.5, 0.5)
    place.set_axis_off()
    return made


def _label(
    tree: ObliqueTree,
    node: int,
    names: Sequence[str],
    terms: int,
    class_names: Sequence[Any] | None,
) -> tuple[str, str]:
    if node < len(tree.normals):
        question = tree.question(node, names, terms).replace(" + ...", "\n+ ...", 1)
        return f"{node}: {question} > 0", "black"
    label = tree.leaf_labels[node - len(tree.normals)]
    colour = COLOURS[label % len(COLOURS)] if label.dtype.kind == "i" else "black"
    return tree.answer(node, class_names), colour


def _layout(
    tree: ObliqueTree,
) -> tuple[dict[int, tuple[float, float]], list[tuple[int, int, str]]]:
    """Return {node: (across, height)} and the lines (parent, child, answer)."""
    places: dict[int, tuple[float, float]] = {}
    lines: list[tuple[int, int, str]] = []
    leaves = 0

    def put(node: int, height: float) -> int:
        nonlocal leaves
        node = tree.skip(node)
        if node >= len(tree.normals):
            places[node] = (float(leaves), height)
            leaves += 1
            return node
        children = [put(2 * node + 1 + k, height - 1) for k in (0, 1)]
        places[node] = (float(np.mean([places[c][0] for c in children])), height)
        lines.extend(
            (node, child, answer)
            for child, answer in zip(children, ("no", "yes"), strict=True)
        )
        return node

    put(0, 0.0)
    return places, lines


def _met(tree: ObliqueTree, x: Any, counted: np.ndarray) -> np.ndarray:
    """Return the number of counted points at each node and leaf."""
    return tree.sums(x, counted[:, None])[:, 0].astype(int)
