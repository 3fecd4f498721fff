"""Points of the plane, labelled by whether they lie inside a disc."""

from typing import NamedTuple

import numpy as np

from dlgn_keras.tools.messages import check_count

HALF = 1.0  # the square is [-HALF, HALF]^2
COVER = 0.4  # share of the square that the discs cover
_DRAWS = 10_000


class DiscData(NamedTuple):
    """Points labelled by discs.

    x: (num_points, 2) float32, in the square from -1 to 1.
    y: (num_points,) int64, 1 inside a disc and 0 outside all.
    centres: (num_discs, 2) float64. radius: of every disc.
    """

    x: np.ndarray
    y: np.ndarray
    centres: np.ndarray
    radius: float


def discs(num_points: int, num_discs: int = 3, seed: int = 0) -> DiscData:
    """Return points of the plane, half of them inside disjoint discs.

    Discs of equal radius are placed at random in the square from -1 to 1, apart from
    each other and from the border. They cover two fifths of the square, or less if they
    do not fit. Points are uniform inside and uniform outside, equally many.

    Args:
        num_points: number of points, at least 1.
        num_discs: number of discs, at least 1.
        seed: seed of the discs and the points.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> from dlgn_keras import data
        >>> x, y, centres, radius = data.discs(1000, num_discs=2)
        >>> inside = ((x[:, None] - centres) ** 2).sum(2).min(1) < radius**2
        >>> x.shape, float(y.mean()), bool((inside == y).all())
        ((1000, 2), 0.5, True)
    """
    check_count("num_points", num_points)
    check_count("num_discs", num_discs)
    rng = np.random.default_rng(seed)
    centres, radius = _place(rng, num_discs)
    wanted = np.array([num_points - num_points // 2, num_points // 2])
    kept: list[np.ndarray] = []
    while wanted.any():
        x = rng.uniform(-HALF, HALF, (4 * int(wanted.max()) + 16, 2))
        x = x.astype(np.float32)
        y = _inside(x, centres, radius)
        for label in (0, 1):
            part = x[y == label][: wanted[label]]
            kept.append(part)
            wanted[label] -= len(part)
    x = rng.permutation(np.concatenate(kept))
    return DiscData(x, _inside(x, centres, radius), centres, radius)


def _place(rng: np.random.Generator, number: int) -> tuple[np.ndarray, float]:
    """Return centres of equal discs that leave a gap between them, and their radius."""
    radius = float(np.sqrt(COVER * (2 * HALF) ** 2 / (number * np.pi)))
    while True:
        gap = 1.15 * radius
        centres: list[np.ndarray] = []
        for _ in range(_DRAWS if HALF > gap else 0):
            new = rng.uniform(gap - HALF, HALF - gap, 2)
            if all(np.linalg.norm(new - old) > 2 * gap for old in centres):
                centres.append(new)
            if len(centres) == number:
                return np.array(centres), radius
        radius *= 0.95


def _inside(x: np.ndarray, centres: np.ndarray, radius: float) -> np.ndarray:
    """Return 1 for points inside a disc, 0 for others."""
    squares = ((x[:, None].astype(np.float64) - centres) ** 2).sum(axis=2)
    return (squares.min(axis=1) < radius**2).astype(np.int64)
