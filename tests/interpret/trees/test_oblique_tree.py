"""Trees read off nets whose hyperplanes are known, and what may be done with them."""

import numpy as np
import pytest
from interpret.trees import planes

import dlgn_keras as dk
from dlgn_keras import data
from dlgn_keras.data import ObliqueTree, Preprocessing
from dlgn_keras.interpret import distances, node_distances, oblique_tree, refine_tree


@pytest.fixture(scope="module")
def points():
    return data.sample_oblique_tree(6000, dim=7, depth=3, seed=4)


def accuracy(tree, x, y):
    return float(np.mean(tree.predict(x) == y))


@pytest.mark.parametrize("sites", [1, 2])
def test_a_tree_known_to_the_gates_is_recovered_exactly(rng, points, sites):
    x, y, tree = points
    net = planes.net_at(planes.rows_of(tree, rng, copies=2, noise=30), sites)
    found = oblique_tree(net, x, y, 3, choose="fit", train_levels=1)
    pairs = distances(planes.of(found.normals, found.biases), True, tree)
    # Siblings may change places where a normal points the other way.
    assert pairs[0, 0] < 1e-5
    assert sorted(pairs.argmin(axis=1)) == list(range(7))
    assert pairs.min(axis=1).max() < 1e-5
    fresh = data.sample_oblique_tree(4000, 7, 3, seed=9).x
    assert np.mean(found.predict(fresh) == tree.predict(fresh)) > 0.999


def test_gates_that_miss_a_node_make_another_tree(rng, points):
    """Broken twin: without the root's hyperplane nothing is recovered."""
    x, y, tree = points
    normals = tree.normals.copy()
    normals[0] = rng.normal(size=7)
    bent = ObliqueTree(normals, tree.biases, tree.leaf_labels)
    net = planes.net_at(planes.rows_of(bent, rng, copies=2))
    found = oblique_tree(net, x, y, 3, choose="fit", train_levels=1)
    assert accuracy(found, x, y) < 0.95


def test_the_published_way_splits_by_the_largest_cluster_and_trains_on_each_side(rng):
    x, y, tree = data.sample_oblique_tree(4000, dim=5, depth=2, seed=6)
    # At each node most hyperplanes are the node's own, the rest are the others'.
    copies = [[5, 2, 2], [0, 4, 2], [0, 2, 4]]
    nets = [
        planes.net_at(np.pad(np.repeat(tree.normals, number, axis=0), ((0, 0), (0, 1))))
        for number in copies
    ]
    asked = []

    def train(part, labels):
        asked.append((part, labels))
        side = int(tree.decision_path(part)[0, 1])
        return nets[side]

    found = oblique_tree(nets[0], x, y, 2, train=train)
    here = planes.of(found.normals, found.biases)
    assert node_distances(here, tree, with_offset=True).nearest.max() < 1e-5
    assert accuracy(found, x, y) > 0.999
    assert len(asked) == 2
    for part, labels in asked:
        assert len(np.unique(tree.decision_path(part)[:, 1])) == 1
        assert tree.predict(part).tolist() == labels.tolist()
    assert sum(len(part) for part, _ in asked) == len(x)


def test_only_hyperplanes_that_cut_the_points_are_asked(rng):
    x, y, tree = data.sample_oblique_tree(500, dim=3, depth=1, seed=2)
    beyond = np.array([[0.0, 0, 1, 5]] * 6)  # a larger cluster, off the sphere
    own = np.append(tree.normals[0], 0)
    net = planes.net_at(np.concatenate([beyond, [own, own]]))
    assert accuracy(oblique_tree(net, x, y, 1), x, y) == 1
    nothing = oblique_tree(planes.net_at(beyond), x, y, 1)
    assert not nothing.asks.any()


def test_predictions_survive_json_and_the_preprocessing_is_folded_in(rng):
    x, y, tree = data.sample_oblique_tree(2000, dim=4, depth=2, seed=3)
    raw = ((x - 0.5) / 3).astype(np.float32)
    rows = planes.rows_of(tree, rng, copies=2)
    net = planes.net_at(rows, preprocessing=Preprocessing(3.0, 0.5))
    found = oblique_tree(net, raw, y, 2, choose="fit", train_levels=1)
    assert accuracy(found, raw, y) > 0.99
    again = ObliqueTree.from_json(found.to_json())
    assert again.predict(raw).tolist() == found.predict(raw).tolist()
    assert str(again) == str(found)
    # Broken twin: without the folding the raw points fall elsewhere.
    unfolded = oblique_tree(planes.net_at(rows), x, y, 2, choose="fit", train_levels=1)
    assert accuracy(unfolded, raw, y) < 0.9


def test_a_pure_branch_ends_early_and_is_printed_as_one_leaf(rng):
    tree = ObliqueTree([[1.0, 0], [0, 0], [0, 1]], [0.0, 0, 0], [1, 1, 0, 1])
    x = rng.normal(size=(1000, 2))
    net = planes.net_at([[1.0, 0, 0], [0, 2, 0], [1, 1, 0.5]])
    found = oblique_tree(net, x, tree.predict(x), 2, choose="fit", train_levels=1)
    assert found.asks.sum() == 2
    assert accuracy(found, x, tree.predict(x)) > 0.99
    assert len(str(found).splitlines()) == 5
    assert str(found).count("class") == 3


def test_refining_never_hurts_and_finds_the_tree_again(rng, points):
    x, y, tree = points
    bent = ObliqueTree(
        tree.normals + 0.15 * rng.normal(size=(7, 7)),
        0.05 * rng.normal(size=7),
        tree.leaf_labels,
    )
    scores = [accuracy(bent, x, y)]
    scores += [accuracy(refine_tree(bent, x, y, k), x, y) for k in (1, 2, 6)]
    assert scores == sorted(scores)
    assert scores[0] < 0.93 < 0.985 < scores[-1]
    better = refine_tree(bent, x, y, 6)
    moved = [
        np.diag(distances(planes.of(t.normals), False, tree)) for t in (bent, better)
    ]
    assert moved[1].max() < 0.5 * moved[0].max()


def test_refining_a_single_question_is_a_logistic_regression(rng):
    from sklearn.linear_model import LogisticRegression

    x = rng.normal(size=(300, 2))
    y = (x @ [1.0, 2.0] + rng.normal(size=300) > 0.3).astype(int)
    found = refine_tree(ObliqueTree([[1.0, 0]], [0.0], [0, 1]), x, y, 1, strength=2.0)
    model = LogisticRegression(C=2.0).fit(x / x.std(), y)
    expected = np.append(model.coef_[0] / x.std(), model.intercept_)
    whole = ObliqueTree([expected[:-1]], [expected[-1]], [0, 1])
    here = planes.of(found.normals, found.biases)
    assert distances(here, True, whole).max() < 1e-3
    assert np.mean(found.predict(x) == model.predict(x / x.std())) == 1


def test_more_than_two_classes_are_told_apart(rng):
    tree = ObliqueTree(np.eye(3), [0.0, 0.1, -0.1], [2, 0, 1, 2])
    x = rng.normal(size=(3000, 3))
    y = tree.predict(x)
    net = dk.DLGN(dk.skeletons.fc(1, 3), (3,), 3, seed=0)
    layer = next(part for part in net.gating_network.layers if part.weights)
    layer.set_weights([np.eye(3) + 0.1 * rng.normal(size=(3, 3)), np.zeros(3)])
    found = oblique_tree(net, x, y, 2, choose="fit", refine=5, train_levels=1)
    assert accuracy(found, x, y) > 0.98


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"net": "net"}, TypeError, "`net` must be a dk.DNN"),
        ({"net": dk.DNN(dk.skeletons.fc(1, 2), (3,), 2)}, ValueError, "must be a DLGN"),
        ({"x": np.zeros((4, 2))}, ValueError, r"`x` must have shape \(n, 3\)"),
        ({"y": np.array([0, 1, 2, 0])}, ValueError, "`y` must hold 4 class numbers"),
        ({"y": np.zeros(4)}, ValueError, "`y` must hold 4 class numbers"),
        ({"depth": 0}, ValueError, "`depth` must be a whole number"),
        ({"depth": 17}, ValueError, "`depth` must be at most 16"),
        ({"choose": "larges"}, ValueError, "Did you mean 'largest'"),
        ({"refine": -1}, ValueError, "`refine` must be a whole number"),
        ({"train_levels": 0}, ValueError, "`train_levels` must be a whole number"),
        ({"train_levels": 2}, ValueError, "`train` must make"),
        ({"eps": -1.0}, ValueError, "`eps` must be above 0"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    net = planes.net_at([[1.0, 0, 0, 0], [0, 1, 0, 0]])
    x = np.random.default_rng(0).normal(size=(4, 3))
    given = {"net": net, "x": x, "y": np.array([0, 1, 0, 1]), "min_samples_leaf": 1}
    with pytest.raises(error, match=message) as caught:
        oblique_tree(**(given | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_nets_trained_at_every_node_lead_to_the_tree():
    """The largest cluster may be a node from further down; the best fit is not."""
    x, y, _ = data.sample_oblique_tree(6000, dim=6, depth=2, seed=8)
    net = dk.DLGN(dk.skeletons.fc(3, 10), (6,), 2, beta=4.0, value_input="ones", seed=1)
    train = dk.training.node_trainer(net, seed=5)
    net = train(x[:4000], y[:4000])
    found = oblique_tree(net, x[:4000], y[:4000], 2, train=train, choose="fit")
    assert accuracy(found, x[4000:], y[4000:]) > 0.9
