"""The published oblique-tree data sets, made afresh from a seed."""

from typing import NamedTuple

from dlgn_keras.data.checks import closest
from dlgn_keras.data.dataset import Dataset
from dlgn_keras.data.generate import oblique_tree
from dlgn_keras.data.trees import ObliqueTree

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
            f"Received: name={name!r}.{closest(str(name), SIZES)}"
        )
    num_points, dim = SIZES[name]
    x, y, tree = oblique_tree(num_points, dim, DEPTH, seed)
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
