"""ObliqueTree: walks, labels and json, against a recursive walk in this file."""

import numpy as np
import pytest

from dlgn_keras.data import ObliqueTree
from dlgn_keras.data.routing import Routing


def random_tree(depth, dim, seed=0):
    """Any complete tree: slanted normals, biases, labels of three classes."""
    rng = np.random.default_rng(seed)
    return ObliqueTree(
        rng.standard_normal((2**depth - 1, dim)),
        rng.standard_normal(2**depth - 1) / 2,
        rng.integers(0, 3, 2**depth),
    )


def walk(tree, point, node=0, above=()):
    """Return (path, leaf) of one point by recursion, one dot product at a time."""
    num_nodes = len(tree.normals)
    if node >= num_nodes:
        return list(above), node - num_nodes
    side = sum(w * v for w, v in zip(tree.normals[node], point, strict=True))
    child = 2 * node + 2 if side + tree.biases[node] > 0 else 2 * node + 1
    return walk(tree, point, child, (*above, node))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_paths_leaves_and_labels_agree_with_a_recursive_walk(depth):
    tree = random_tree(depth, dim=3)
    x = np.random.default_rng(1).standard_normal((200, 3))
    slow = [walk(tree, point) for point in x]
    assert tree.decision_path(x).tolist() == [path for path, _ in slow]
    assert tree.leaf(x).tolist() == [leaf for _, leaf in slow]
    labels = [tree.leaf_labels[leaf] for _, leaf in slow]
    assert tree.predict(x).tolist() == labels
    # Enough points that every leaf's label matters where the tree is small.
    assert depth == 5 or set(tree.leaf(x)) == set(range(2**depth))


def test_a_turned_normal_is_seen_by_the_recursive_walk():
    tree = random_tree(3, dim=3)
    normals = tree.normals.copy()
    normals[0] *= -1
    twin = ObliqueTree(normals, tree.biases, tree.leaf_labels)
    x = np.random.default_rng(1).standard_normal((200, 3))
    assert twin.leaf(x).tolist() != [walk(tree, point)[1] for point in x]


def test_many_points_are_walked_as_few_are():
    tree = random_tree(4, dim=5)
    x = np.random.default_rng(2).standard_normal((40_000, 5)).astype(np.float32)
    pieces = [tree.leaf(x[i : i + 777]) for i in range(0, len(x), 777)]
    assert tree.leaf(x).tolist() == np.concatenate(pieces).tolist()


@pytest.mark.parametrize("depth", [3, 4, 6, 9])
def test_float32_routes_as_float64_does_far_from_zero_too(depth):
    tree = random_tree(depth, dim=3)
    near = np.random.default_rng(3).standard_normal((3000, 3))
    far = np.array([1e6, 0.0, -3e5])
    moved = tree.rescaled(1.0, -far)
    routing = Routing(moved.normals, moved.biases, far, np.float32)
    assert np.mean(routing.leaf(near + far) == tree.leaf(near)) > 0.999
    # Broken twin: without the origin, float32 loses the digits.
    lost = Routing(moved.normals, moved.biases, None, np.float32)
    assert np.mean(lost.leaf(near + far) == tree.leaf(near)) < 0.99


def test_branches_that_ask_nothing_go_left_at_any_depth():
    tree = random_tree(6, dim=3)
    asks = np.zeros(63, bool)
    asks[[0, 2, 6, 13, 28, 57]] = True  # one way down
    normals = np.where(asks[:, None], tree.normals, 0)
    bare = ObliqueTree(normals, np.where(asks, tree.biases, 0), tree.leaf_labels)
    x = np.random.default_rng(4).standard_normal((300, 3))
    slow = [walk(bare, point) for point in x]
    assert bare.leaf(x).tolist() == [leaf for _, leaf in slow]
    assert bare.decision_path(x).tolist() == [path for path, _ in slow]


def test_a_point_on_a_hyperplane_goes_left():
    tree = ObliqueTree([[1.0, 0.0]], [0.0], [0, 1])
    assert tree.leaf([[0.0, 1.0], [1e-9, 1.0]]).tolist() == [0, 1]


def test_json_round_trip_keeps_every_bit():
    tree = random_tree(3, dim=4)
    again = ObliqueTree.from_json(tree.to_json())
    for name in ("normals", "biases", "leaf_labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tree, name))
    assert (again.depth, again.dim) == (3, 4)


def test_orthogonality_names_which_normals_are_at_right_angles():
    eye, zeros, labels = np.eye(3), np.zeros(3), [0, 1, 0, 1]
    slanted = np.array([1.0, 0.0, 1.0]) / np.sqrt(2)
    assert ObliqueTree(eye, zeros, labels).orthogonality == "all"
    # Nodes 1 and 2 stand on different ways: only the root must be at right angles.
    same = ObliqueTree(eye[[0, 1, 1]], zeros, labels)
    assert same.orthogonality == "paths"
    assert ObliqueTree([eye[0], eye[1], slanted], zeros, labels).orthogonality == "none"


@pytest.mark.parametrize(
    ("num_normals", "num_biases", "num_leaves"),
    [(3, 3, 3), (3, 3, 8), (3, 2, 4), (2, 2, 3), (0, 0, 1)],
)
def test_shapes_that_make_no_complete_tree_are_refused(
    num_normals, num_biases, num_leaves
):
    with pytest.raises(ValueError, match="`normals`, `biases` and `leaf_labels` must"):
        ObliqueTree(
            np.ones((num_normals, 2)), np.ones(num_biases), np.ones(num_leaves, int)
        )


@pytest.mark.parametrize("shape", [(5, 2), (3,), (5, 3, 1)])
def test_points_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"`x` must be of shape \(n, 3\)"):
        random_tree(2, dim=3).predict(np.zeros(shape))


def test_a_tree_cannot_be_changed_by_accident():
    normals = np.eye(3)
    tree = ObliqueTree(normals, np.zeros(3), [0, 1, 0, 1])
    normals[0] = 7
    assert tree.normals[0].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        tree.normals[0] = 7


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"normals": 5}', '{"normals": "x", "biases": [], "a": 1}']
)
def test_a_text_that_is_no_tree_is_one_line(text):
    with pytest.raises(ValueError, match="A tree must be the json of to_json") as error:
        ObliqueTree.from_json(text)
    assert "\n" not in str(error.value)
