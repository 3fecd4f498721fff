"""oblique_tree: read a decision tree off the gates of a DLGN (DLGN-DT)."""

from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.hyperplanes import Hyperplanes, hyperplanes
from dlgn_keras.interpret.nodes import check_model
from dlgn_keras.interpret.trees.choose import affine_fits
from dlgn_keras.interpret.trees.clusters import cluster_hyperplanes
from dlgn_keras.interpret.trees.refine import majorities, refine_tree
from dlgn_keras.interpret.trees.retrain import Train, node_trainer
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.messages import check_choice, check_count

MAX_DEPTH = 16


class Growing(NamedTuple):
    """What stays the same from node to node while a tree grows."""

    z: np.ndarray
    x: np.ndarray
    y: np.ndarray
    train: Train
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
    seed: int = 0,
) -> ObliqueTree:
    """Return the oblique decision tree that a DLGN's gates have found (DLGN-DT).

    The root asks about a hyperplane of `net`: its gate hyperplanes are clustered by
    DBSCAN, and the centre of the largest cluster is the node. Data go to either side
    of it; on each side a new DLGN is trained on what came there, its hyperplanes are
    clustered, and so on. A leaf says the commonest label of its points. Only
    hyperplanes that leave `min_samples_leaf` points on both sides are looked at.

    With the defaults this is the published procedure. Two options do better:
    `choose="fit"` takes for a node, of all cluster centres and of the hyperplanes in
    no cluster, the one that best explains the node's labels together with one affine
    map on either side, see `affine_fits`; it can tell a node from those below it and
    so needs no further training (`train_levels=1`). `refine=10` then fits the
    nodes' hyperplanes to the data, see `refine_tree`.

    Args:
        net: a DLGN of dense layers, trained on these points.
        x: (n, *input_shape) raw inputs.
        y: (n,) class numbers.
        depth: most questions on the way to a leaf, 1 to 16.
        train: (x, y) -> a DLGN trained on them, for the nodes below the root, such as
            `node_trainer(net, recipe)`; None trains nets like `net` by Adam at rate
            0.005, 200 epochs of 10 batches.
        train_levels: on how many levels each node has a net of its own, the root's
            included; nodes further down look at the hyperplanes of the last net
            above them. None: on all; 1: only `net` is read, nothing is trained.
        choose: "largest" cluster, or best affine "fit".
        refine: sweeps of `refine_tree` in the end, 0 for none.
        eps: of DBSCAN, how far neighbours may be apart, see `cluster_hyperplanes`.
        min_cluster: of DBSCAN, how many neighbours make a cluster.
        min_samples_leaf: fewest points of a leaf, at least 1.
        seed: of the nets that are trained; a `train` of your own has its own.

    Returns:
        `dk.data.ObliqueTree` on raw inputs, flattened to (n, dim): `predict`,
        `to_text`, `to_json`; `plots.plot_tree` draws it. A branch that ends early is
        stored as nodes that ask nothing.

    Raises:
        TypeError: `net` is no model of this library.
        ValueError: no DLGN of dense layers, shapes that do not fit, or an argument
            out of range.

    Example:
        >>> import dlgn_keras as dk
        >>> x, y, tree = dk.data.oblique_tree(2000, dim=3, depth=1)
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
    if refine:
        check_count("refine", refine)
    root = hyperplanes(check_model(net))
    x, z, y = _points(net, x, y)
    growing = Growing(
        z,
        x,
        y,
        node_trainer(net, seed=seed) if train is None else train,
        depth if train_levels is None else train_levels,
        choose,
        eps,
        min_cluster,
        min_samples_leaf,
    )
    planes = np.zeros((2**depth - 1, z.shape[1] + 1))
    _grow(growing, planes, 0, np.arange(len(y)), root)
    labels = np.full(2**depth, int(np.bincount(y).argmax()))
    tree = ObliqueTree(planes[:, :-1], planes[:, -1], labels)
    tree = ObliqueTree(tree.normals, tree.biases, majorities(tree, z, y))
    if refine:
        tree = refine_tree(tree, z, y, refine)
    return _on_raw_inputs(tree, net)


def _points(net: GatedModel, x: Any, y: Any) -> tuple[np.ndarray, ...]:
    """Return raw inputs, network inputs as rows, and labels, checked."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or x.shape[1:] != tuple(net.input_shape[1:]):
        raise ValueError(
            f"`x` must have shape (n, {', '.join(map(str, net.input_shape[1:]))}). "
            f"Received: x of shape {x.shape}."
        )
    whole = y.dtype.kind in "iub" and y.shape == (len(x),) and len(y)
    if not whole or y.min() < 0 or y.max() >= net.num_classes:
        raise ValueError(
            f"`y` must hold {len(x)} class numbers, 0 to {net.num_classes - 1}, one a "
            f"point. Received: y of shape {y.shape} and type {y.dtype}."
        )
    z = x if net.preprocessing is None else net.preprocessing.apply(x)
    return x, z.reshape(len(z), -1), y.astype(np.int64)


def _grow(
    growing: Growing,
    planes: np.ndarray,
    node: int,
    here: np.ndarray,
    candidates: Hyperplanes,
) -> None:
    """Fill in a node and those below it, in place; zeros stay where none asks."""
    y = growing.y[here]
    few = len(here) < 2 * growing.min_samples_leaf
    if node >= len(planes) or few or np.all(y == y[0]):
        return
    level = (node + 1).bit_length()  # the root's is 1
    if 1 < level <= growing.train_levels:
        net = growing.train(growing.x[here], y)
        candidates = hyperplanes(check_model(net))
    plane = _choose(growing, growing.z[here], y, candidates)
    if plane is None:
        return
    planes[node] = plane
    right = growing.z[here] @ plane[:-1] + plane[-1] > 0
    _grow(growing, planes, 2 * node + 1, here[~right], candidates)
    _grow(growing, planes, 2 * node + 2, here[right], candidates)


def _choose(
    growing: Growing, z: np.ndarray, y: np.ndarray, planes: Hyperplanes
) -> np.ndarray | None:
    """Return (unit normal, offset) of the node's hyperplane, None if none fits."""
    kept = _cutting(growing, z, planes)
    clusters = cluster_hyperplanes(kept, growing.eps, growing.min_cluster)
    alone = clusters.labels < 0
    normals = np.concatenate([clusters.normals, kept.normals[alone]])
    offsets = np.concatenate([clusters.offsets, kept.offsets[alone]])
    sizes = np.concatenate([clusters.sizes, np.ones(alone.sum(), int)])
    if growing.choose == "largest":
        # No cluster at all, or a tie: the affine fit decides.
        largest = sizes == sizes.max(initial=0)
        normals, offsets = normals[largest], offsets[largest]
    found = _cutting(growing, z, Hyperplanes(normals, offsets, offsets, offsets))
    if not len(found.normals):
        return None
    vectors = np.concatenate([found.normals, found.offsets[:, None]], axis=1)
    vectors /= np.linalg.norm(found.normals, axis=1, keepdims=True)
    best = affine_fits(z, y, vectors).argmax() if len(vectors) > 1 else 0
    return vectors[best]


def _cutting(growing: Growing, z: np.ndarray, planes: Hyperplanes) -> Hyperplanes:
    """Return the hyperplanes with points enough on both sides."""
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
    return ObliqueTree(
        tree.normals * scale, tree.biases + tree.normals @ offset, tree.leaf_labels
    )
