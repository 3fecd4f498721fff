"""Gate hyperplanes compared with known trees and with discontinuities of labels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.hyperplanes import Hyperplanes, Planes, distances

FEWEST = 2  # points on a side; a single point has no neighbour


class NodeDistances(NamedTuple):
    """Distances of gate hyperplanes to the nodes of a tree.

    nearest: (nodes,) distance of the nearest hyperplane to each node's, 0 to sqrt 2.
    plane: (nodes,) index of that hyperplane.
    within: (nodes,) number of hyperplanes within the radius of each node's.
    """

    nearest: np.ndarray
    plane: np.ndarray
    within: np.ndarray


def node_distances(
    planes: Hyperplanes,
    tree: ObliqueTree,
    radius: float = 0.3,
    with_offset: bool = False,
) -> NodeDistances:
    """Return the distance of the nearest gate hyperplane to every node of a tree.

    Distances are those of `distances`: sign and scale do not count.

    Args:
        planes: the result of `hyperplanes` for a network without preprocessing, so
            that they lie in the tree's space.
        tree: the tree that gave the labels.
        radius: largest distance of the hyperplanes that are counted, at least 0.
        with_offset: whether offsets count, see `distances`.

    Returns:
        NodeDistances.

    Raises:
        ValueError: `radius` is negative, or tree and planes lie in spaces of
            different dimensions.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras.data import ObliqueTree
        >>> tree = ObliqueTree([[1.0, 0.0]], [0.0], [0, 1])
        >>> planes = Hyperplanes(np.array([[-3.0, 0], [0, 1]]), *np.zeros((3, 2)))
        >>> found = node_distances(planes, tree)
        >>> found.nearest.tolist(), found.within.tolist()
        ([0.0], [1])

    Reference: ICLR 2025 (see `hyperplanes`), table of distances before and after
    training.
    """
    if not radius >= 0:
        raise ValueError(f"`radius` must be at least 0. Received: radius={radius!r}.")
    apart = distances(planes, with_offset, tree)
    near = (apart <= radius).sum(axis=0)
    return NodeDistances(apart.min(axis=0), apart.argmin(axis=0), near)


def discontinuities(
    planes: Planes,
    x: Any,
    labels: np.ndarray | Callable[[np.ndarray], np.ndarray],
    share: float = 0.1,
    step: float = 1e-3,
) -> np.ndarray:
    """Return each hyperplane's local discontinuity coefficient, 0 to 1.

    For a hyperplane H = {z : n . z + c = 0}, |n| = 1, and a label function f, it is
    the share of H across which the label changes, weighted by the data near H:

        g(H) = mean over z on H of [f(z + h n) != f(z - h n)], h -> 0

    where z are the projections onto H of the `share` of the data nearest to it. It is
    0 where f is the same on both sides of H almost everywhere, as for a random
    hyperplane. At a node of a tree it is the share of H that separates two classes:
    1/2 at the root of an orthogonal balanced tree with opposite siblings.

    If `labels` is a function (the predictions of a tree or a net), the formula is
    evaluated at h = `step`. If `labels` are those of the data, f is known at the
    points only: each point is compared with the neighbour of its mirror image on the
    other side, and with its neighbour on its own side. Neighbours agree with
    probability a on the same side and b across H;
    `g = (a - b) / (a - (1 - a) / (k - 1))` removes the changes not due to H, assuming
    that all k classes replace one another equally often. The points must be dense for
    their dimension (about 5 at most); if neighbours agree no more than by chance, the
    coefficient is NaN.

    Args:
        planes: `hyperplanes(net)`, or a tree, for the hyperplanes of its nodes.
        x: (n, dim) points, in the hyperplanes' space.
        labels: (n,) class numbers, or a function (n, dim) -> (n,) class numbers.
        share: share of the points to use, nearest to H first; above 0, at most 1.
        step: distance from H on each side, in units of x, for a label function.

    Returns:
        (planes,) float64; estimates from data may lie outside 0 to 1 by their error.

    Raises:
        ValueError: shapes that do not fit, or a number out of range.

    Example:
        >>> from dlgn_keras import data
        >>> x, y, tree = data.sample_oblique_tree(5000, dim=3, depth=2)
        >>> discontinuities(tree, x, tree.predict).round(1).tolist()
        [0.5, 0.5, 0.5]

    Reference: the idea is from "Deep Networks Learn Features From Local
    Discontinuities in the Label Function" (ICLR 2025); this definition and the
    estimate from data are ours.
    """
    x = np.asarray(x, np.float64)
    dim = planes.normals.shape[1]
    if x.ndim != 2 or x.shape[1] != dim or not len(x):
        raise ValueError(
            f"`x` must have shape (n, {dim}), n at least 1. Received: x of shape "
            f"{x.shape}."
        )
    for name, value in (("share", share), ("step", step)):
        if not 0 < value <= 1:
            raise ValueError(
                f"`{name}` must be above 0 and at most 1. Received: {name}={value!r}."
            )
    if not callable(labels):
        labels = np.asarray(labels)
        if labels.shape != x.shape[:1]:
            raise ValueError(
                "`labels` must be a function or have one entry a point. Received: "
                f"shape {labels.shape} for {len(x)} points."
            )
    offsets = planes.biases if isinstance(planes, ObliqueTree) else planes.offsets
    lengths = np.linalg.norm(planes.normals, axis=1)
    lengths = np.where(lengths > 0, lengths, 1)
    count = max(1, round(share * len(x)))
    found = np.zeros(len(lengths))
    for k, length in enumerate(lengths):
        normal, offset = planes.normals[k] / length, offsets[k] / length
        heights = x @ normal + offset
        if callable(labels):
            near = np.argpartition(np.abs(heights), count - 1)[:count]
            feet = x[near] - heights[near, None] * normal
            sides = [np.asarray(labels(feet + s * step * normal)) for s in (1, -1)]
            found[k] = np.mean(sides[0] != sides[1])
        else:
            near = np.argsort(np.abs(heights), kind="stable")[:count]
            found[k] = _from_neighbours(x[near], heights[near], normal, labels[near])
    return found


def _from_neighbours(
    x: np.ndarray, heights: np.ndarray, normal: np.ndarray, labels: np.ndarray
) -> float:
    """Return the estimate from labelled points near a hyperplane."""
    from sklearn.neighbors import NearestNeighbors

    number = len(np.unique(labels))
    up = heights > 0
    if number < 2:
        return 0.0
    if min(up.sum(), (~up).sum()) < FEWEST:
        return float("nan")
    own, across = [], []
    for here in (up, ~up):
        points, mirrored = x[here], x[~here] - 2 * heights[~here, None] * normal
        beside = NearestNeighbors(n_neighbors=2).fit(points)
        # The first neighbour of each of the fitted points is the point itself.
        nearest = beside.kneighbors(points, return_distance=False)[:, 1]
        own.append(labels[here] == labels[here][nearest])
        opposite = beside.kneighbors(mirrored, 1, return_distance=False)[:, 0]
        across.append(labels[~here] == labels[here][opposite])
    agree = float(np.concatenate(own).mean())
    by_chance = (1 - agree) / (number - 1)
    if agree <= by_chance:
        return float("nan")
    return (agree - float(np.concatenate(across).mean())) / (agree - by_chance)
