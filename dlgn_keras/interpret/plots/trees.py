"""Pictures of oblique decision trees."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.plots.style import COLOURS, figure

HEIGHT = 1.1  # inches a level
WIDTH = 1.25  # inches a leaf


def plot_tree(
    tree: ObliqueTree,
    x: Any = None,
    y: Any = None,
    names: Sequence[str] | None = None,
    terms: int = 2,
) -> Any:
    """Draw a tree from its root down, "no" to the left and "yes" to the right.

    A node says its number and question, a leaf its class, in the class's colour. With
    points both say how many come there, a leaf also the share of them it gets right.

    Args:
        tree: what `oblique_tree` returned, or any other.
        x: (n, dim) points to send down the tree, if any.
        y: (n,) their classes, if x is given.
        names: (dim,) names of the features; default "x0", "x1", ...
        terms: how many features of a question to write, the heaviest ones.

    Returns:
        matplotlib Figure.

    Raises:
        ValueError: points of another dimension, or other than `dim` names.
    """
    names = [f"x{k}" for k in range(tree.dim)] if names is None else list(names)
    if len(names) != tree.dim:
        raise ValueError(
            f"`names` must hold {tree.dim} names. Received: {len(names)} names."
        )
    places, lines = _layout(tree)
    met = hits = None
    if x is not None:
        met, hits = _counts(tree, x, y)
    levels = max(-h for _, h in places.values()) + 1
    leaves = sum(node >= len(tree.normals) for node in places)
    made, axes = figure(1, 1, (max(5.0, WIDTH * leaves), HEIGHT * levels))
    place = axes[0, 0]
    for parent, child, answer in lines:
        (a, b), (c, d) = places[parent], places[child]
        place.plot([a, c], [b, d], color="0.6", linewidth=1.2, zorder=1)
        place.text((a + c) / 2, (b + d) / 2, answer, fontsize=7, color="0.3")
    for node, (across, height) in places.items():
        text, colour = _label(tree, node, names, terms)
        if met is not None and hits is not None:
            text += f"\n{met[node]} points"
            if node >= len(tree.normals) and met[node]:
                text += f"\n{hits[node] / met[node]:.1%} right"
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": colour}
        place.text(across, height, text, ha="center", va="center", fontsize=7, bbox=box)
    place.set_xlim(-0.6, leaves - 0.4)
    place.set_ylim(-levels + 0.5, 0.5)
    place.set_axis_off()
    return made


def _label(
    tree: ObliqueTree, node: int, names: Sequence[str], terms: int
) -> tuple[str, str]:
    if node < len(tree.normals):
        question = tree.question(node, names, terms).replace(" + ...", "\n+ ...", 1)
        return f"{node}: {question} > 0", "black"
    label = int(tree.leaf_labels[node - len(tree.normals)])
    return f"class {label}", COLOURS[label % len(COLOURS)]


def _layout(
    tree: ObliqueTree,
) -> tuple[dict[int, tuple[float, float]], list[tuple[int, int, str]]]:
    """Return {node: (across, height)} and the lines (parent, child, answer)."""
    places: dict[int, tuple[float, float]] = {}
    lines: list[tuple[int, int, str]] = []
    leaves = 0
    asks = tree.asks

    def put(node: int, height: float) -> int:
        nonlocal leaves
        while node < len(asks) and not asks[node]:
            node = 2 * node + 1
        if node >= len(asks):
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


def _counts(tree: ObliqueTree, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return how many points meet each node and leaf, and how many are right there."""
    ways = tree.decision_path(x)
    ends = tree.leaf(x) + len(tree.normals)
    ways = np.concatenate([ways, ends[:, None]], axis=1)
    size = len(tree.normals) + len(tree.leaf_labels)
    met = np.bincount(ways.ravel(), minlength=size)
    right = tree.predict(x) == np.asarray(y)
    return met, np.bincount(ends[right], minlength=size)
