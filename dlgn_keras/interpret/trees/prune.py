"""Prune an oblique tree by points that it was not fitted to."""

from typing import Any

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.trees.refine import check_weights


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
    common label of its points, where that costs no validation error.

    Args:
        tree: the tree. x, y: (n, dim) points and (n,) class numbers it was fitted to.
        x_validation, y_validation: other points and their class numbers.
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
    classes = int(max(y.max(), y_validation.max())) + 1
    own = tree.counts(x, y, classes, check_weights(sample_weight, len(y)))
    weights = check_weights(validation_weight, len(y_validation))
    seen = tree.counts(x_validation, y_validation, classes, weights)
    nodes = len(tree.normals)
    labels = own.argmax(axis=1)
    labels[nodes:] = np.where(own[nodes:].any(axis=1), labels[nodes:], tree.leaf_labels)
    errors = seen.sum(axis=1) - seen[np.arange(len(seen)), labels]
    asks, kept = tree.asks, tree.asks.copy()
    for node in reversed(range(nodes)):
        left, right = errors[2 * node + 1 : 2 * node + 3]
        split = left + right if asks[node] else left
        kept[node] &= split < errors[node] - 1e-9 * weights.sum()
        if kept[node] or not asks[node]:
            errors[node] = split
    gone = np.zeros(len(seen), bool)  # below a node that became a leaf
    for node in range(nodes):
        if gone[node] or kept[node] < asks[node]:
            below = slice(2 * node + 1, 2 * node + 3)
            gone[below], labels[below] = True, labels[node]
    kept &= ~gone[:nodes]
    depth = max(1, int(np.flatnonzero(kept).max(initial=0) + 1).bit_length())
    first = 2**depth - 1
    return ObliqueTree(
        np.where(kept[:first, None], tree.normals[:first], 0),
        np.where(kept[:first], tree.biases[:first], 0),
        labels[first : 2 * first + 1],
    )
