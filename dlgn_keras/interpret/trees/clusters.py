"""Clusters of hyperplanes: where many gates of a network agree on a boundary."""

from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.hyperplanes import Hyperplanes, distances
from dlgn_keras.tools.messages import check_count


class Clusters(NamedTuple):
    """Clusters of hyperplanes, the one with the most members first.

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
    """Cluster hyperplanes by DBSCAN, a hyperplane and its negative being the same.

    The distance is that of `distances(planes, with_offset=True)`. The centre of a
    cluster is the unit vector c with the largest sum of (c . u)^2 over its members
    u = (normal, offset) / |(normal, offset)|: their mean direction, free of signs.

    Args:
        planes: what `hyperplanes` returned.
        eps: how far neighbours may be apart, above 0; 0.1 to 0.3 in the paper.
        min_cluster: how many hyperplanes, itself among them, must lie within `eps`
            of one for a cluster to grow from it (DBSCAN's `min_samples`).

    Returns:
        Clusters; of equal size, the tighter first.

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
