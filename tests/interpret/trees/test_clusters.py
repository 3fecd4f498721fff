"""Clusters and node distances, against plain loops and scipy's components."""

import numpy as np
import pytest
from interpret.trees import planes
from scipy.sparse.csgraph import connected_components

from dlgn_keras import interpret
from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret import cluster_hyperplanes, node_distances


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def slow_distance(u, v):
    u, v = unit(np.asarray(u)), unit(np.asarray(v))
    return min(np.linalg.norm(u - v), np.linalg.norm(u + v))


def flipped(found, rng):
    """The same hyperplanes with other signs and lengths."""
    factors = rng.uniform(0.2, 5, len(found.offsets)) * rng.choice(
        [-1, 1], len(found.offsets)
    )
    return planes.of(found.normals * factors[:, None], found.offsets * factors)


def test_clusters_of_two_are_the_components_of_the_neighbour_graph(rng):
    some = planes.of(rng.normal(size=(60, 3)), rng.normal(size=60))
    vectors = np.column_stack([some.normals, some.offsets])
    near = [[slow_distance(u, v) <= 0.35 for v in vectors] for u in vectors]
    _, expected = connected_components(np.array(near))
    found = cluster_hyperplanes(some, eps=0.35, min_cluster=2)
    sizes = np.bincount(expected)
    assert sorted(found.sizes, reverse=True) == found.sizes.tolist()
    assert sorted(found.sizes) == sorted(sizes[sizes > 1])
    for i in range(60):
        for j in range(i):
            together = found.labels[i] == found.labels[j] >= 0
            assert together == (expected[i] == expected[j])


def test_clusters_are_blind_to_sign_and_scale(rng):
    some = planes.of(rng.normal(size=(50, 3)), rng.normal(size=50))
    here, there = (cluster_hyperplanes(s, 0.4) for s in (some, flipped(some, rng)))
    assert here.labels.tolist() == there.labels.tolist()
    assert here.labels.max() > 0
    for k in range(len(here.sizes)):
        centres = [np.append(c.normals[k], c.offsets[k]) for c in (here, there)]
        assert slow_distance(*centres) < 1e-7


def test_a_centre_is_nearest_to_its_members_of_all_directions(rng):
    around = rng.normal(size=4)
    vectors = around + 0.1 * rng.normal(size=(9, 4))
    signs = rng.choice([-1.0, 1.0], (9, 1))
    found = cluster_hyperplanes(
        planes.of((vectors * signs)[:, :3], (vectors * signs)[:, 3])
    )
    assert found.sizes.tolist() == [9]
    centre = np.append(found.normals[0], found.offsets[0])

    def cost(direction):
        return sum(slow_distance(direction, v) ** 2 for v in vectors)

    tries = centre + 0.02 * rng.normal(size=(200, 4))
    assert cost(centre) < min(cost(one) for one in tries)


def test_parallel_hyperplanes_are_apart_unless_only_normals_count():
    some = planes.of([[1.0, 0], [1, 0]], [0.0, 2])
    assert cluster_hyperplanes(some).labels.tolist() == [-1, -1]
    tree = ObliqueTree([[1.0, 0.0]], [2.0], [0, 1])
    assert node_distances(some, tree).within.tolist() == [2]
    found = node_distances(some, tree, with_offset=True)
    assert (found.within.tolist(), found.plane.tolist()) == ([1], [1])


def test_node_distances_are_those_of_a_loop(rng):
    tree = ObliqueTree(rng.normal(size=(7, 4)), rng.normal(size=7), range(8))
    some = planes.of(rng.normal(size=(30, 4)), rng.normal(size=30))
    for with_offset in (False, True):
        a, b = some.normals, tree.normals
        if with_offset:
            a = np.column_stack([a, some.offsets])
            b = np.column_stack([b, tree.biases])
        slow = np.array([[slow_distance(u, v) for v in b] for u in a])
        for one in (some, flipped(some, rng)):
            found = node_distances(one, tree, 0.8, with_offset)
            np.testing.assert_allclose(found.nearest, slow.min(axis=0), atol=1e-7)
            assert found.plane.tolist() == slow.argmin(axis=0).tolist()
            assert found.within.tolist() == (slow <= 0.8).sum(axis=0).tolist()
    # Broken twin: distances without the smaller of two signs are others.
    signed = np.linalg.norm(unit(a)[:, None] - unit(b), axis=-1)
    assert np.abs(found.nearest - signed.min(axis=0)).max() > 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, t: cluster_hyperplanes(p, eps=0), "`eps` must be above 0"),
        (lambda p, t: cluster_hyperplanes(p, eps="a"), "`eps` must be above 0"),
        (lambda p, t: cluster_hyperplanes(p, min_cluster=0), "`min_cluster` must be"),
        (lambda p, t: node_distances(p, t, radius=-1), "`radius` must be at least 0"),
        (lambda p, t: interpret.distances(p, others=t), "`others` must lie in the"),
    ],
)
def test_bad_arguments_are_named(call, message):
    tree = ObliqueTree([[1.0, 0, 0]], [0.0], [0, 1])
    with pytest.raises(ValueError, match=message):
        call(planes.of([[1.0, 0]]), tree)


def test_no_hyperplanes_make_no_clusters():
    found = cluster_hyperplanes(planes.of(np.zeros((0, 3))))
    assert (len(found.sizes), len(found.labels)) == (0, 0)
