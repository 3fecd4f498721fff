"""Which examples to draw: class-balanced or stratified, the same on every machine."""

import numpy as np


def class_ranks(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return each example's place (0, 1, ...) among its class, counted along `order`.

    Args:
        labels: (n,) class numbers.
        order: (n,) a permutation of 0 to n - 1.
    """
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(
        labels[by_class], return_index=True, return_counts=True
    )
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return ranks


def balanced_indices(labels: np.ndarray, num: int) -> np.ndarray:
    """Return `num` indices, rising: the first ones of each class, equally many.

    Class by class in turn, so counts differ by one at most unless a class has no
    more to give; then the others fill up.

    Args:
        labels: (n,) class numbers.
        num: how many to choose, 1 to n.
    """
    ranks = class_ranks(labels, np.arange(len(labels)))
    return np.sort(np.lexsort((labels, ranks))[:num])


def stratified_indices(labels: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Return `num` indices, rising, drawn at random with the class shares of `labels`.

    The r-th of the n_c examples of a class, in random order, stands at
    (r + 1/2) / n_c; those that stand lowest are chosen. So each class gives its
    share within one example, and any class sizes will do.

    Args:
        labels: (n,) class numbers.
        num: how many to choose, 1 to n.
        seed: of the random order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    places = (class_ranks(labels, order) + 0.5) / counts[classes]
    # Classes of one size tie; the random order decides among them, not the label.
    return np.sort(order[np.argsort(places[order], kind="stable")[:num]])
