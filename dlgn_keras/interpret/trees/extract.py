"""oblique_tree: extract a decision tree from the gates of a DLGN (DLGN-DT).

For each node the gate hyperplanes are clustered, one is chosen, and the data are split.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.hyperplanes import Hyperplanes, distances, hyperplanes
from dlgn_keras.interpret.nodes import check_model
from dlgn_keras.interpret.trees.leaves import best, check_weights, node_values
from dlgn_keras.interpret.trees.refine import refine_tree
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.messages import check_choice, check_count

MAX_DEPTH = 16
Train = Callable[[np.ndarray, np.ndarray], GatedModel]


class Growing(NamedTuple):
    """The data and options shared by all nodes while a tree grows."""

    z: np.ndarray
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    train: Train | None
    train_levels: int
    choose: str
    eps: float
    min_cluster: int
    min_samples_leaf: int


def oblique_tree(
    net: GatedModel,
    x: Any,
    y: Any,
    depth: int = 4,
    *,
    train: Train | None = None,
    train_levels: int | None = None,
    choose: str = "largest",
    refine: int = 0,
    eps: float = 0.2,
    min_cluster: int = 2,
    min_samples_leaf: int = 10,
    sample_weight: Any = None,
) -> ObliqueTree:
    """Extract an oblique decision tree from the gates of a DLGN (DLGN-DT).

    Every node asks on which side of a hyperplane a point lies. For the root, the gate
    hyperplanes of `net` are clustered by DBSCAN, and the centre of the largest cluster
    becomes the root's hyperplane. On each side, `train` makes a new DLGN from the
    points there, whose hyperplanes are clustered in turn, and so on. A leaf predicts
    the most common label of its points. Only hyperplanes that leave `min_samples_leaf`
    points on both sides are considered.

    With a `train` and the other defaults this is the published procedure. Two options
    do better. `choose="fit"` considers all cluster centres and all hyperplanes outside
    clusters, and takes the hyperplane that, with one affine map on each side, best
    explains the node's labels (see `affine_fits`). This criterion tells a node from
    the nodes below it, so no further training is needed. `refine=10` then fits the
    nodes' hyperplanes to the data, see `refine_tree`.

    Args:
        net: a DLGN of dense layers, trained on these points.
        x: (n, *input_shape) raw inputs.
        y: (n,) class numbers; floats, if the net has one output (loss "mse"): leaves
            then hold means.
        depth: largest number of questions from the root to a leaf, 1 to 16.
        train: (x, y) -> a DLGN trained on them, for the nodes below the root, such as
            `dk.training.node_trainer(net)`; None trains nothing: every node takes a
            hyperplane of `net`.
        train_levels: number of levels, the root's included, on which each node has
            its own net; deeper nodes use the nearest net above them. None: all
            levels, if `train` is given.
        choose: "largest" cluster, or best affine "fit".
        refine: sweeps of `refine_tree` at the end, 0 for none.
        eps: largest distance of neighbours in DBSCAN, see `cluster_hyperplanes`.
        min_cluster: number of neighbours that make a cluster in DBSCAN.
        min_samples_leaf: smallest number of points in a leaf, at least 1.
        sample_weight: (n,) weights of the points, above 0, in affine fits, refits and
            leaves; `train` does not see them. None is 1 for all.

    Returns:
        `dk.data.ObliqueTree` on raw inputs, flattened to (n, dim): `predict`,
        `to_text`, `to_json`; `plots.plot_tree` draws it. A branch that ends early is
        stored as nodes that ask nothing.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: `net` is not a DLGN of dense layers, shapes do not fit, an argument
            is out of range, or `train_levels` exceeds 1 without a `train`.

    Example:
        >>> import dlgn_keras as dk
        >>> x, y, tree = dk.data.sample_oblique_tree(2000, dim=3, depth=1)
        >>> net = dk.DLGN(dk.skeletons.fc(1, 16), (3,), num_classes=2, seed=0)
        >>> found = oblique_tree(net, x, y, 1, choose="fit", refine=1)
        >>> bool((found.predict(x) == y).mean() > 0.99)
        True

    Reference: "Deep Networks Learn Features From Local Discontinuities in the
    Label Function" (ICLR 2025), DLGN-DT; `choose="fit"` and `refine` are ours.
    """
    check_choice("choose", choose, ("largest", "fit"))
    for name, value in (("depth", depth), ("min_samples_leaf", min_samples_leaf)):
        check_count(name, value)
    if depth > MAX_DEPTH:
        raise ValueError(
            f"`depth` must be at most {MAX_DEPTH}. Received: depth={depth!r}."
        )
    if train_levels is not None:
        check_count("train_levels", train_levels)
        if train_levels > 1 and train is None:
            raise ValueError(
                "`train` must make the nets of the levels below the root, such as "
                "dk.training.node_trainer(net). "
                f"Received: train=None with train_levels={train_levels}."
            )
    if refine:
        check_count("refine", refine)
    root = hyperplanes(check_model(net))
    x, z, y = _points(net, x, y)
    weights = check_weights(sample_weight, len(y))
    growing = Growing(
        z,
        x,
        y,
        weights,
        train,
        depth if train_levels is None else train_levels,
        choose,
        eps,
        min_cluster,
        min_samples_leaf,
    )
    planes = np.zeros((2**depth - 1, z.shape[1] + 1))
    _grow(growing, planes, 0, np.arange(len(y)), root)
    normals, biases = planes[:, :-1], planes[:, -1]
    tree = ObliqueTree(normals, biases, np.full(2**depth, best(y, weights)))
    values = node_values(tree, z, y, weights)[len(planes) :]
    tree = ObliqueTree(normals, biases, values)
    if refine:
        tree = refine_tree(tree, z, y, refine, sample_weight=weights)
    return _on_raw_inputs(tree, net)


def _points(net: GatedModel, x: Any, y: Any) -> tuple[np.ndarray, ...]:
    """Return raw inputs, network inputs as rows, and labels, checked."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or x.shape[1:] != tuple(net.input_shape[1:]):
        raise ValueError(
            f"`x` must have shape (n, {', '.join(map(str, net.input_shape[1:]))}). "
            f"Received: x of shape {x.shape}."
        )
    whole = y.dtype.kind in "iub"
    fits = y.shape == (len(x),) and len(y) and (whole or y.dtype.kind == "f")
    if whole and fits:
        fits = y.min() >= 0 and y.max() < net.num_classes
    elif fits:
        fits = net.num_classes == 1 and np.isfinite(y).all()
    if not fits:
        allowed = f"class numbers, 0 to {net.num_classes - 1}"
        if net.num_classes == 1:
            allowed = "finite floats"
        raise ValueError(
            f"`y` must hold {len(x)} {allowed}, one a "
            f"point. Received: y of shape {y.shape} and type {y.dtype}."
        )
    z = x if net.preprocessing is None else net.preprocessing.apply(x)
    y = y.astype(np.int64 if whole else np.float64)
    return x, z.reshape(len(z), -1), y


def _grow(
    growing: Growing,
    planes: np.ndarray,
    node: int,
    here: np.ndarray,
    candidates: Hyperplanes,
) -> None:
    """Fill in a node and its descendants, in place; the rest of `planes` stays zero."""
    y = growing.y[here]
    few = len(here) < 2 * growing.min_samples_leaf
    if node >= len(planes) or few or np.all(y == y[0]):
        return
    level = (node + 1).bit_length()  # the root's is 1
    if growing.train is not None and 1 < level <= growing.train_levels:
        net = growing.train(growing.x[here], y)
        candidates = hyperplanes(check_model(net))
    plane = _choose(growing, here, candidates)
    if plane is None:
        return
    planes[node] = plane
    right = growing.z[here] @ plane[:-1] + plane[-1] > 0
    _grow(growing, planes, 2 * node + 1, here[~right], candidates)
    _grow(growing, planes, 2 * node + 2, here[right], candidates)


def _choose(
    growing: Growing, here: np.ndarray, planes: Hyperplanes
) -> np.ndarray | None:
    """Return (unit normal, offset) of the node's hyperplane, None if none fits."""
    z, y, weights = growing.z[here], growing.y[here], growing.weights[here]
    kept = _cutting(growing, z, planes)
    clusters = cluster_hyperplanes(kept, growing.eps, growing.min_cluster)
    alone = clusters.labels < 0
    normals = np.concatenate([clusters.normals, kept.normals[alone]])
    offsets = np.concatenate([clusters.offsets, kept.offsets[alone]])
    sizes = np.concatenate([clusters.sizes, np.ones(alone.sum(), int)])
    if growing.choose == "largest":
        # If there is no cluster, or a tie, the affine fit decides.
        largest = sizes == sizes.max(initial=0)
        normals, offsets = normals[largest], offsets[largest]
    found = _cutting(growing, z, Hyperplanes(normals, offsets, offsets, offsets))
    if not len(found.normals):
        return None
    vectors = np.concatenate([found.normals, found.offsets[:, None]], axis=1)
    vectors /= np.linalg.norm(found.normals, axis=1, keepdims=True)
    if len(vectors) == 1:
        return vectors[0]
    return vectors[affine_fits(z, y, vectors, weights).argmax()]


def _cutting(growing: Growing, z: np.ndarray, planes: Hyperplanes) -> Hyperplanes:
    """Return the hyperplanes with enough points on both sides."""
    right = (z @ planes.normals.T + planes.offsets > 0).sum(axis=0)
    enough = np.minimum(right, len(z) - right) >= growing.min_samples_leaf
    return Hyperplanes(*(part[enough] for part in planes))


def _on_raw_inputs(tree: ObliqueTree, net: GatedModel) -> ObliqueTree:
    """Fold the preprocessing into a tree that was grown on network inputs."""
    if net.preprocessing is None:
        return tree
    shape = net.input_shape[1:]
    scale, offset = (
        np.broadcast_to(np.asarray(part, np.float64), shape).reshape(-1)
        for part in (net.preprocessing.scale, net.preprocessing.offset)
    )
    return tree.rescaled(scale, offset)


class Clusters(NamedTuple):
    """Clusters of hyperplanes, the largest first.

    normals: (clusters, dim) of their centres; (normal, offset) is a unit vector.
    offsets: (clusters,). sizes: (clusters,) numbers of members.
    labels: (planes,) the cluster of each hyperplane, -1 for none.
    """

    normals: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray


def cluster_hyperplanes(
    planes: Hyperplanes, eps: float = 0.2, min_cluster: int = 2
) -> Clusters:
    """Cluster hyperplanes by DBSCAN; a hyperplane and its negative count as the same.

    The distance is that of `distances(planes, with_offset=True)`. The centre of a
    cluster is the unit vector c with the largest sum of (c . u)^2 over its members
    u = (normal, offset) / |(normal, offset)|: their mean direction, up to signs.

    Args:
        planes: the result of `hyperplanes`.
        eps: largest distance of neighbours, above 0; 0.1 to 0.3 in the paper.
        min_cluster: number of hyperplanes within `eps` of a hyperplane, itself
            included, for a cluster to grow from it (DBSCAN's `min_samples`).

    Returns:
        Clusters; among clusters of equal size, the tighter first.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> import numpy as np
        >>> normals = np.array([[1.0, 0.01], [-2, 0], [0, 3], [1, 1]])
        >>> found = cluster_hyperplanes(Hyperplanes(normals, *np.zeros((3, 4))))
        >>> found.sizes.tolist(), found.labels.tolist()
        ([2], [0, 0, -1, -1])

    Reference: "Deep Networks Learn Features From Local Discontinuities in the
    Label Function" (ICLR 2025), DLGN-DT; scikit-learn's DBSCAN.
    """
    from sklearn.cluster import DBSCAN

    if not (isinstance(eps, int | float) and 0 < eps < np.inf):
        raise ValueError(f"`eps` must be above 0. Received: eps={eps!r}.")
    check_count("min_cluster", min_cluster)
    dim = planes.normals.shape[1]
    if not len(planes.normals):
        none = np.zeros(0, int)
        return Clusters(np.zeros((0, dim)), np.zeros(0), none, none)
    apart = distances(planes, with_offset=True)
    model = DBSCAN(eps=float(eps), min_samples=min_cluster, metric="precomputed")
    found = model.fit(apart).labels_
    vectors = np.concatenate([planes.normals, planes.offsets[:, None]], axis=1)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    centres, order = [], []
    for k in range(found.max() + 1):
        members = vectors[found == k]
        singular, directions = np.linalg.svd(members, full_matrices=False)[1:]
        centres.append(directions[0])
        # The share of the members along their mean direction: 1 if they all agree.
        order.append((-len(members), -(singular[0] ** 2) / len(members), k))
    ranks = [k for *_, k in sorted(order)]
    return _sorted(np.array(centres).reshape(-1, dim + 1), found, ranks)


def _sorted(centres: np.ndarray, found: np.ndarray, ranks: list[int]) -> Clusters:
    """Return the clusters in a new order."""
    place: dict[Any, int] = {k: rank for rank, k in enumerate(ranks)}
    labels = np.array([place.get(int(k), -1) for k in found])
    sizes = np.array([int((found == k).sum()) for k in ranks], int)
    centres = centres[ranks]
    return Clusters(centres[:, :-1], centres[:, -1], sizes, labels)


def affine_fits(
    x: np.ndarray,
    y: np.ndarray,
    planes: np.ndarray,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return how well a hyperplane and an affine map on each side explain labels.

    For each candidate (a . x + c = 0) the one-hot labels, or numbers, are fitted by
    least squares with one affine map on either side; the score is the explained share
    of their sum of squares about the mean, 0 to 1. Two maps fit a discontinuity better
    than one, and each side of a tree's root holds a simpler tree, so the root of a
    (sub)tree scores above the nodes below it.

    Args:
        x: (n, dim) points of the node.
        y: (n,) class numbers, of at least two classes, or floats.
        planes: (candidates, dim + 1), normal and offset of each.
        weights: (n,) weights of the points, above 0; None is 1 for all.

    Returns:
        (candidates,) float64.
    """
    ones = np.ones((len(x), 1), np.float32)
    points = np.concatenate([x.astype(np.float32), ones], axis=1)
    if y.dtype.kind == "f":
        targets = (y[:, None] - y.mean()) / (y.std() or 1)
    else:
        targets = y[:, None] == np.unique(y)
    targets = targets.astype(np.float32)
    targets -= np.average(targets, axis=0, weights=weights)
    if weights is not None:  # a factor above 0 leaves a point on its side
        root = np.sqrt(weights, dtype=np.float32)[:, None]
        points, targets = points * root, targets * root
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
