"""Refit an oblique tree to data, one node at a time."""

import warnings
from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.data.trees import descend
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

    Args:
        tree: the initial tree, such as the result of `oblique_tree`.
        x: (n, dim) points. y: (n,) class numbers.
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
    labels = majorities(tree, x, y, weights)
    for _ in range(sweeps):
        if not _sweep(planes, labels, points, y, weights, strength):
            break
    found = ObliqueTree(planes[:, :-1], planes[:, -1] * scale, labels)
    lengths = np.linalg.norm(found.normals, axis=1)
    lengths = np.where(lengths > 0, lengths, 1)
    found = ObliqueTree(
        found.normals / lengths[:, None], found.biases / lengths, labels
    )
    return ObliqueTree(found.normals, found.biases, majorities(found, x, y, weights))


def check_weights(weights: Any, number: int) -> np.ndarray:
    """Return one finite weight above 0 for each point; None is 1 for all."""
    found = np.ones(number) if weights is None else np.asarray(weights, np.float64)
    if found.shape != (number,) or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(
            f"`sample_weight` must be {number} finite numbers above 0, one a point. "
            f"Received: sample_weight of shape {found.shape}."
        )
    return found


def majorities(
    tree: ObliqueTree, x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return each leaf's most common label; a leaf without points keeps its own."""
    counts = tree.counts(x, y, int(y.max()) + 1, weights)[len(tree.normals) :]
    return np.where(counts.any(axis=1), counts.argmax(axis=1), tree.leaf_labels)


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
        if 2 * node + 1 >= len(planes):
            totals = np.bincount(y[here], weights[here])
            sides = [np.full(len(here), k) for k in _two(totals, labels, node)]
        hits = [side == y[here] for side in sides]
        counts = hits[0] != hits[1]
        goal = hits[1][counts]
        if counts.sum() < FEWEST or goal.all() or not goal.any():
            continue
        taken, weight = points[here[counts]], weights[here[counts]]
        plane = _logistic(taken, goal, weight, strength)
        now, then = (weight @ ((taken @ p > 0) == goal) for p in (planes[node], plane))
        if then < now:
            continue
        changed |= bool(then > now)
        planes[node] = plane
        if 2 * node + 1 >= len(planes):
            for child, side in zip(_children(node), sides, strict=True):
                labels[child - len(planes)] = side[0]
        right[:, node] = points @ plane > 0
    return changed


def _children(node: int) -> tuple[int, int]:
    return 2 * node + 1, 2 * node + 2


def _two(totals: np.ndarray, labels: np.ndarray, node: int) -> tuple[int, int]:
    """Return the two labels of largest total for the two leaves below a node.

    A label that a leaf already has stays on its side.
    """
    left, right = (int(labels[c - len(labels) + 1]) for c in _children(node))
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
