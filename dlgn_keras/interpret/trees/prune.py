"""Prune an oblique tree by points that it was not fitted to."""

from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.trees.leaves import (
    check_weights,
    node_losses,
    node_values,
)


def prune_tree(
    tree: ObliqueTree,
    x: Any,
    y: Any,
    x_validation: Any,
    y_validation: Any,
    sample_weight: Any = None,
    validation_weight: Any = None,
) -> ObliqueTree:
    """Return the smallest subtree with the fewest errors on validation points.

    Reduced-error pruning: from the leaves up, a node becomes a leaf, with the most
    common label of its points (of numbers their mean), where that costs no validation
    error (squared error).

    Args:
        tree: the tree. x, y: (n, dim) points it was fitted to and their (n,) class
            numbers, or floats.
        x_validation, y_validation: other points and their class numbers, or floats.
        sample_weight, validation_weight: (n,) weights above 0; None is 1 for all.

    Returns:
        ObliqueTree, as deep as its deepest question, at least 1.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> from dlgn_keras import data
        >>> x, y, tree = data.sample_oblique_tree(2000, dim=3, depth=2)
        >>> one = data.ObliqueTree(tree.normals, tree.biases, [0, 0, 0, 1])
        >>> prune_tree(one, x, one.predict(x), x, one.predict(x)).asks.tolist()
        [True, False, True]

    Reference: J. R. Quinlan, "Simplifying decision trees", 1987.
    """
    y, y_validation = np.asarray(y), np.asarray(y_validation)
    values = node_values(tree, x, y, check_weights(sample_weight, len(y)))
    weights = check_weights(validation_weight, len(y_validation))
    errors = node_losses(tree, values, x_validation, y_validation, weights)
    nodes = len(tree.normals)
    asks, kept = tree.asks, tree.asks.copy()
    least = 1e-9 * errors[0]  # what rounding may make of no difference
    for node in reversed(range(nodes)):
        left, right = errors[2 * node + 1 : 2 * node + 3]
        split = left + right if asks[node] else left
        kept[node] &= split < errors[node] - least
        if kept[node] or not asks[node]:
            errors[node] = split
    gone = np.zeros(len(values), bool)  # below a node that became a leaf
    for node in range(nodes):
        if gone[node] or kept[node] < asks[node]:
            below = slice(2 * node + 1, 2 * node + 3)
            gone[below], values[below] = True, values[node]
    kept &= ~gone[:nodes]
    depth = max(1, int(np.flatnonzero(kept).max(initial=0) + 1).bit_length())
    normals = np.where(kept[:, None], tree.normals, 0)
    return ObliqueTree(normals, np.where(kept, tree.biases, 0), values[nodes:]).cut(
        depth, values
    )
