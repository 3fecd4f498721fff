"""What nodes and leaves predict, a class or a number, and what points cost there.

Classes are whole numbers; a point of another class costs 1. Numbers are floats; a point
costs its squared difference.
"""

from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree


def check_weights(weights: Any, number: int) -> np.ndarray:
    """Return one finite weight above 0 for each point; None is 1 for all."""
    found = np.ones(number) if weights is None else np.asarray(weights, np.float64)
    if found.shape != (number,) or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(
            f"`sample_weight` must be {number} finite numbers above 0, one a point. "
            f"Received: sample_weight of shape {found.shape}."
        )
    return found


def best(y: np.ndarray, weights: np.ndarray) -> Any:
    """Return the value that costs some points least: a class, or their mean."""
    if y.dtype.kind == "f":
        return np.average(y, weights=weights)
    return np.bincount(y, weights).argmax()


def losses(values: Any, y: np.ndarray) -> np.ndarray:
    """Return what each point costs where a value is predicted, float64."""
    if y.dtype.kind == "f":
        return (values - y) ** 2
    return (values != y).astype(np.float64)


def node_values(
    tree: ObliqueTree, x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the best value for the points at each node, then at each leaf.

    A leaf without points keeps its own; a node without points takes its parent's.
    """
    nodes = len(tree.normals)
    if y.dtype.kind == "f":
        sums = tree.sums(x, np.stack([weights, weights * y], axis=1))
        met = sums[:, 0] > 0
        found = sums[:, 1] / np.where(met, sums[:, 0], 1)
    else:
        counts = tree.counts(x, y, int(y.max()) + 1, weights)
        met, found = counts.sum(axis=1) > 0, counts.argmax(axis=1)
    for node in np.flatnonzero(~met[:nodes]):
        found[node] = found[(node - 1) // 2]
    found[nodes:] = np.where(met[nodes:], found[nodes:], tree.leaf_labels)
    return found


def node_losses(
    tree: ObliqueTree,
    values: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Return what its points cost at each node, then each leaf, predicted there."""
    nodes = len(tree.normals)
    leaves = tree.leaf(x)
    ways = np.concatenate([tree.above(leaves), leaves[:, None] + nodes], axis=1)
    costs = weights[:, None] * losses(values[ways], y[:, None])
    return np.bincount(ways.ravel(), costs.ravel(), 2 * nodes + 1)
