"""Points labelled by random oblique decision trees, and the published sets of them."""

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data.dataset import Dataset, class_ranks
from dlgn_keras.data.trees import ObliqueTree, ancestors
from dlgn_keras.tools.messages import closest

MAX_DEPTH = 16
_DRAWN = 1 << 14  # points drawn together, while leaves are being filled


class ObliqueData(NamedTuple):
    """Points labelled by a tree.

    x: (num_points, dim) float32, on the unit sphere.
    y: (num_points,) int64, 0 or 1.
    tree: the tree that gives the labels; `tree.orthogonality` says which of its
        normals are at right angles.
    """

    x: np.ndarray
    y: np.ndarray
    tree: ObliqueTree


def sample_oblique_tree(
    num_points: int,
    dim: int,
    depth: int = 4,
    seed: int = 0,
    *,
    balanced: bool = True,
    margin: float = 0.0,
) -> ObliqueData:
    """Return points on the unit sphere and their labels from a random oblique tree.

    Hyperplanes pass through the origin, sibling leaves have opposite labels, points
    are uniform on the sphere. With dim >= 2^depth - 1 all normals are orthonormal;
    with fewer dimensions, but at least `depth`, the normals on each path from root to
    leaf are orthonormal; with fewer still, they are independent unit vectors. In the
    first two cases every leaf has the same share of the sphere.

    Args:
        num_points: number of points, at least 1.
        dim: number of features, at least 1.
        depth: number of inner nodes on a path from the root to a leaf, 1 to 16.
        seed: seed of the normals and the points.
        balanced: True keeps points so that every leaf holds equally many (within
            one, if `num_points` is no multiple of 2^depth); False keeps every point.
        margin: points nearer than this to the hyperplane of a node on their path are
            dropped; at least 0.

    Raises:
        ValueError: a number out of its range, `balanced` with dim < depth, or a
            margin that drops all but one point in a thousand.

    Example:
        >>> from dlgn_keras import data
        >>> x, y, tree = data.sample_oblique_tree(1600, dim=20)
        >>> x.shape, float(y.mean()), tree.orthogonality
        ((1600, 20), 0.5, 'all')

    Reference:
        "Deep Networks Learn Features From Local Discontinuities in the Label
        Function", ICLR 2025 (complete orthogonal balanced oblique decision trees).
    """
    _check_range("num_points", num_points, 1, None)
    _check_range("dim", dim, 1, None)
    _check_range("depth", depth, 1, MAX_DEPTH)
    if balanced and dim < depth:
        raise ValueError(
            "`dim` must be at least `depth` for leaves of equal size; give "
            f"balanced=False otherwise. Received: dim={dim}, depth={depth}."
        )
    rng = np.random.default_rng(seed)
    # Labels 0, 1, 0, 1, ... lose nothing: a normal and its negative, which swaps the
    # siblings, are equally likely.
    tree = ObliqueTree(
        normals=_random_normals(rng, dim, depth),
        biases=np.zeros(2**depth - 1),
        leaf_labels=np.arange(2**depth) % 2,
    )
    if not 0 <= margin < 1:
        raise ValueError(
            f"`margin` must be at least 0 and below 1. Received: margin={margin!r}."
        )
    if balanced:
        x = _balanced_points(rng, tree, num_points, margin)
    else:
        x = _free_points(rng, tree, num_points, margin)
    return ObliqueData(x, tree.predict(x), tree)


def _random_normals(rng: np.random.Generator, dim: int, depth: int) -> np.ndarray:
    """Return random unit normals (2^depth - 1, dim), orthogonal where dim allows."""
    num_nodes = 2**depth - 1
    normals = np.zeros((num_nodes, dim))
    for node in range(num_nodes):
        if dim >= num_nodes:
            others = normals[:node]
        elif dim >= depth:
            others = normals[ancestors(node)]
        else:
            others = normals[:0]
        normal = rng.standard_normal(dim)
        for _ in range(2):  # the second pass removes what rounding left in the first
            normal -= others.T @ (others @ normal)
            normal /= np.linalg.norm(normal)
        normals[node] = normal
    return normals


def _sphere(rng: np.random.Generator, num_points: int, dim: int) -> np.ndarray:
    """Return (num_points, dim) float32 points, uniform on the unit sphere."""
    x = rng.standard_normal((num_points, dim), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def _free_points(
    rng: np.random.Generator, tree: ObliqueTree, num_points: int, margin: float
) -> np.ndarray:
    """Return the first points that keep the margin."""
    if not margin:
        return _sphere(rng, num_points, tree.dim)
    kept, number = [], 0
    while number < num_points:
        kept.append(_apart(_sphere(rng, _DRAWN, tree.dim), tree, margin))
        number += len(kept[-1])
    return np.concatenate(kept)[:num_points]


def _apart(x: np.ndarray, tree: ObliqueTree, margin: float) -> np.ndarray:
    """Return the points that keep the margin to the hyperplanes on their paths."""
    if not margin:
        return x
    heights = np.abs(x.astype(np.float64) @ tree.normals.T + tree.biases)
    nearest = np.take_along_axis(heights, tree.decision_path(x), axis=1).min(axis=1)
    kept = x[nearest >= margin]
    if 1000 * len(kept) < len(x):
        raise ValueError(
            "`margin` must leave more than one point in a thousand. Received: "
            f"margin={margin!r}, which leaves {len(kept)} of {len(x)}."
        )
    return kept


def _balanced_points(
    rng: np.random.Generator, tree: ObliqueTree, num_points: int, margin: float
) -> np.ndarray:
    """Return equally many points in every leaf, in random order.

    Points that fall in a full leaf are dropped. All leaves are equally likely, so
    within a leaf the points stay uniform.
    """
    num_leaves = tree.leaf_labels.size
    wanted = np.full(num_leaves, num_points // num_leaves)
    wanted[rng.permutation(num_leaves)[: num_points % num_leaves]] += 1
    kept = []
    while wanted.any():
        number = _DRAWN if margin else min(_DRAWN, num_leaves * int(wanted.max()))
        x = _apart(_sphere(rng, number, tree.dim), tree, margin)
        leaf = tree.leaf(x)
        keep = class_ranks(leaf, np.arange(len(leaf))) < wanted[leaf]
        kept.append(x[keep])
        wanted -= np.bincount(leaf[keep], minlength=num_leaves)
    x = np.concatenate(kept)
    # Rare leaves filled up last; without a new order a slice would show it.
    return x[rng.permutation(num_points)]


def _check_range(argument: str, value: Any, low: int, high: int | None) -> None:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or int(value) < low or (high is not None and int(value) > high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(
            f"`{argument}` must be a whole number {span}. "
            f"Received: {argument}={value!r}."
        )


DEPTH = 4
# Name -> number of points in all, twice the published training-set size; features.
SIZES = {"sdi": (40_000, 20), "sdii": (60_000, 100), "sdiii": (100_000, 500)}


class ObliqueDataset(NamedTuple):
    """A named set with the tree behind it.

    dataset: train, validation and test parts, half, a quarter and a quarter.
    tree: the tree that gives the labels of all three.
    """

    dataset: Dataset
    tree: ObliqueTree


def oblique_dataset(name: str, seed: int = 0) -> ObliqueDataset:
    """Return "sdi", "sdii" or "sdiii" and its tree.

    | name | train, validation, test | features |
    | --- | --- | --- |
    | sdi | 20000, 10000, 10000 | 20 |
    | sdii | 30000, 15000, 15000 | 100 |
    | sdiii | 50000, 25000, 25000 | 500 |

    Labels of a tree of depth 4 with orthonormal normals; over the three parts
    together every leaf holds equally many points. Inputs are float32, no
    preprocessing.

    Args:
        name: of the set.
        seed: which tree and which points.

    Raises:
        ValueError: unknown name.

    Example:
        >>> from dlgn_keras import data
        >>> dataset, tree = data.oblique_dataset("sdi", seed=1)
        >>> dataset.x_train.shape, tree.normals.shape
        ((20000, 20), (15, 20))

    Reference:
        "Deep Networks Learn Features From Local Discontinuities in the Label
        Function", ICLR 2025 (data sets SDI, SDII, SDIII).
    """
    if name not in SIZES:
        raise ValueError(
            f"`name` must be one of {', '.join(SIZES)}. "
            f"Received: name={name!r}.{closest(str(name).lower(), SIZES)}"
        )
    num_points, dim = SIZES[name]
    x, y, tree = sample_oblique_tree(num_points, dim, DEPTH, seed)
    half, quarter = num_points // 2, num_points // 4
    train, validation = slice(half), slice(half, half + quarter)
    test = slice(half + quarter, None)
    dataset = Dataset(
        name=name,
        x_train=x[train],
        y_train=y[train],
        x_validation=x[validation],
        y_validation=y[validation],
        x_test=x[test],
        y_test=y[test],
        num_classes=2,
        terms=f"Generated: oblique tree of depth {DEPTH}, seed {seed}. Free to use.",
    )
    return ObliqueDataset(dataset, tree)
