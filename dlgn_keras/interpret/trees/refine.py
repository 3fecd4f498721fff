"""Refit an oblique tree to data, one node at a time."""

import warnings
from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.data.routing import descend
from dlgn_keras.interpret.trees.leaves import (
    best,
    check_weights,
    losses,
    node_values,
)
from dlgn_keras.tools.messages import check_count

FEWEST = 10  # points that a node needs to be refitted


def refine_tree(
    tree: ObliqueTree,
    x: Any,
    y: Any,
    sweeps: int = 10,
    strength: float = 10.0,
    sample_weight: Any = None,
) -> ObliqueTree:
    """Return the tree with its hyperplanes refitted to data, one node at a time.

    Tree alternating optimisation: a node is refitted on the points that exactly one
    of its subtrees classifies correctly. Which subtree that is gives a binary label;
    a logistic regression on it becomes the new hyperplane if it routes at least as
    many of these points correctly. A node directly above two leaves first gives them
    the two most common labels of its points. Sweeps go from the last node to the root
    and stop early when nothing changes; then every leaf takes the most common label
    of its points.

    If `y` holds floats, leaves hold means: each point counts by the difference of its
    squared errors in the two subtrees.

    Args:
        tree: the initial tree, such as the result of `oblique_tree`.
        x: (n, dim) points. y: (n,) class numbers, or floats.
        sweeps: largest number of passes over the nodes, at least 1.
        strength: scikit-learn's `C` of the logistic regression on features divided
            by their common standard deviation; larger values regularise less.
        sample_weight: (n,) weights of the points, above 0; None is 1 for all.

    Returns:
        ObliqueTree of the same depth; nodes that ask nothing still ask nothing.

    Raises:
        ValueError: shapes that do not fit, or a number out of range.

    Example:
        >>> from dlgn_keras import data
        >>> x, y, tree = data.sample_oblique_tree(4000, dim=3, depth=2, seed=1)
        >>> bent = data.ObliqueTree(tree.normals + 0.2, tree.biases, tree.leaf_labels)
        >>> better = refine_tree(bent, x, y)
        >>> bool((bent.predict(x) == y).mean() < 0.9 < (better.predict(x) == y).mean())
        True

    Reference: M. A. Carreira-Perpinan and P. Tavallali, "Alternating optimization
    of decision trees", NeurIPS 2018; here started from a DLGN's hyperplanes.
    """
    check_count("sweeps", sweeps)
    if not strength > 0:
        raise ValueError(f"`strength` must be above 0. Received: strength={strength}.")
    x, y = np.asarray(x, np.float64), np.asarray(y)
    tree.leaf(x[:1])  # refuses points of another shape
    if y.shape != x.shape[:1] or not len(y):
        raise ValueError(
            "`x` and `y` must hold as many points, at least one. Received: shapes "
            f"{x.shape} and {y.shape}."
        )
    weights = check_weights(sample_weight, len(y))
    scale = float(x.std()) or 1.0
    planes = np.concatenate([tree.normals, tree.biases[:, None] / scale], axis=1)
    points = np.concatenate([x / scale, np.ones((len(x), 1))], axis=1)
    first = len(planes)
    labels = node_values(tree, x, y, weights)[first:]
    for _ in range(sweeps):
        if not _sweep(planes, labels, points, y, weights, strength):
            break
    found = ObliqueTree(planes[:, :-1], planes[:, -1] * scale, labels)
    lengths = np.linalg.norm(found.normals, axis=1)
    lengths = np.where(lengths > 0, lengths, 1)
    found = ObliqueTree(
        found.normals / lengths[:, None], found.biases / lengths, labels
    )
    values = node_values(found, x, y, weights)
    return ObliqueTree(found.normals, found.biases, values[first:])


def _sweep(
    planes: np.ndarray,
    labels: np.ndarray,
    points: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    strength: float,
) -> bool:
    """Fit every node once, in place; return whether any changed."""
    changed = False
    right = points @ planes.T > 0
    walks = descend(right, 0)
    for node in reversed(range(len(planes))):
        here = np.flatnonzero((walks == node).any(axis=1))
        if not planes[node].any() or len(here) < FEWEST:
            continue
        ends = [descend(right[here], child)[:, -1] for child in _children(node)]
        sides = [labels[end - len(planes)] for end in ends]
        lowest = 2 * node + 1 >= len(planes)
        if lowest:
            sides = _two(y[here], weights[here], right[here, node], labels, node)
        gain = losses(sides[0], y[here]) - losses(sides[1], y[here])
        counts = gain != 0
        gain, taken = gain[counts], points[here[counts]]
        goal = gain > 0  # the right side is better
        if len(goal) < FEWEST or goal.all() or not goal.any():
            continue
        weight = weights[here[counts]] * np.abs(gain) / np.abs(gain).mean()
        plane = _logistic(taken, goal, weight, strength)
        now, then = (weight @ ((taken @ p > 0) == goal) for p in (planes[node], plane))
        if then < now:
            continue
        changed |= bool(then > now)
        planes[node] = plane
        right[:, node] = points @ plane > 0
        if lowest:
            pair = _two(y[here], weights[here], right[here, node], labels, node)
            for child, value in zip(_children(node), pair, strict=True):
                labels[child - len(planes)] = value
    return changed


def _children(node: int) -> tuple[int, int]:
    return 2 * node + 1, 2 * node + 2


def _two(
    y: np.ndarray,
    weights: np.ndarray,
    yes: np.ndarray,
    labels: np.ndarray,
    node: int,
) -> tuple[Any, Any]:
    """Return what the two leaves below a node predict.

    Of classes, the two of largest total; one that a leaf already has stays on its side.
    Of numbers, the mean on each side.

    Args:
        y, weights, yes: the node's points, and whether each goes right.
    """
    left, right = (labels[c - len(labels) + 1] for c in _children(node))
    if y.dtype.kind == "f":
        if yes.any():
            right = best(y[yes], weights[yes])
        return left if yes.all() else best(y[~yes], weights[~yes]), right
    totals = np.bincount(y, weights)
    common = [int(k) for k in np.argsort(-totals, kind="stable")[:2] if totals[k]]
    if len(common) < 2 or {left, right} == set(common):
        return left, right
    first, second = common
    return (second, first) if left == second or right == first else (first, second)


def _logistic(
    points: np.ndarray, goal: np.ndarray, weights: np.ndarray, strength: float
) -> np.ndarray:
    """Return (normal, offset) of a logistic regression; the last feature is 1."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=300)
    with warnings.catch_warnings():
        # For separable points the weights diverge, but their direction converges.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points[:, :-1], goal, weights)
    return np.concatenate([model.coef_[0], model.intercept_])
