"""How near the gates of a network have come to the nodes of a known tree."""

from typing import NamedTuple

import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.hyperplanes import Hyperplanes, distances


class NodeDistances(NamedTuple):
    """What the gate hyperplanes of a network have to do with a tree's nodes.

    nearest: (nodes,) distance of the nearest hyperplane to each node's, 0 to sqrt 2.
    plane: (nodes,) which hyperplane that is.
    within: (nodes,) how many hyperplanes lie within the radius of each node's.
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

    Distances are those of `distances`: blind to sign and scale.

    Args:
        planes: what `hyperplanes` returned, in the tree's space: of a network
            without preprocessing.
        tree: the tree that gave the labels.
        radius: up to which distance hyperplanes are counted, at least 0.
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
