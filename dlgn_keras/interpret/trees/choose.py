"""Which hyperplane a node asks about: scores of candidates on the node's data."""

import numpy as np


def affine_fits(x: np.ndarray, y: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Return how well a hyperplane and an affine map on each side explain labels.

    For each candidate (a . x + c = 0) the one-hot labels are fitted by least squares
    with one affine map on either side; the score is the explained share of their
    sum of squares about the mean, 0 to 1. Across a discontinuity two maps do better
    than one, and what is left on either side of a tree's root is a simpler tree: so
    the root of a (sub)tree scores above the nodes below it.

    Args:
        x: (n, dim) points of the node.
        y: (n,) class numbers, of two classes at least.
        planes: (candidates, dim + 1), normal and offset of each.

    Returns:
        (candidates,) float64.
    """
    ones = np.ones((len(x), 1), np.float32)
    points = np.concatenate([x.astype(np.float32), ones], axis=1)
    targets = (y[:, None] == np.unique(y)).astype(np.float32)
    targets -= targets.mean(axis=0)
    gram, moment = _sums(points, targets)
    # Near-singular sides are common: few points, or points on a line.
    ridge = 1e-4 * np.trace(gram) / len(gram) / len(x)
    total = float((targets**2).sum())
    scores = np.zeros(len(planes))
    for k, plane in enumerate(planes.astype(np.float32)):
        right = points @ plane > 0
        smaller = right if 2 * right.sum() < len(right) else ~right
        there = _sums(points[smaller], targets[smaller])
        scores[k] = _explained(*there, ridge * smaller.sum()) + _explained(
            gram - there[0], moment - there[1], ridge * (~smaller).sum()
        )
    return scores / total


def _sums(points: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = points.T @ np.concatenate([points, targets], axis=1)
    both = both.astype(np.float64)
    return both[:, : points.shape[1]], both[:, points.shape[1] :]


def _explained(gram: np.ndarray, moment: np.ndarray, ridge: float) -> float:
    """Return the sum of squares that a least-squares fit explains."""
    padded = gram + (ridge + 1e-12) * np.eye(len(gram))
    return float((moment * np.linalg.solve(padded, moment)).sum())
