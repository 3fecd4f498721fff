"""Trees as estimators: scikit-learn's contract, and trees evaluated by hand."""

import itertools
import pickle
import re

import numpy as np
import pytest
import sklearn_contract
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import dlgn_keras as dk
from dlgn_keras.data import ObliqueTree
from dlgn_keras.estimators.base import importances
from dlgn_keras.estimators.tree import gini, shares_of

NETWORK = dk.DLGNClassifier(1, 8, beta=10.0, epochs=25, batch_size=50)
TINY = dk.DLGNTreeClassifier(2, estimator=NETWORK, random_state=0)
NUMBERS = dk.DLGNTreeRegressor(
    2,
    estimator=dk.DLGNRegressor(
        1, 8, value_input="ones", beta=10.0, epochs=25, batch_size=50
    ),
    random_state=0,
)
BOTH = pytest.mark.parametrize("model", [TINY, NUMBERS], ids=["classes", "numbers"])


@pytest.fixture(scope="module")
def table():
    """Three classes behind two slanted questions, features of different scales."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(600, 3))
    label = np.where(z[:, 0] + z[:, 1] > 0, np.where(z[:, 2] > z[:, 0], 2, 1), 0)
    x = z * [1.0, 20.0, 0.01] + [0.0, 300.0, 5.0]
    return x, np.array(["ash", "birch", "cedar"])[label]


@pytest.fixture(scope="module")
def fitted(table):
    return clone(TINY).fit(*table)


@BOTH
@pytest.mark.parametrize("name", sklearn_contract.QUICK)
def test_scikit_learn_checks_that_are_quick_pass(name, model):
    sklearn_contract.run(name, model)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@BOTH
def test_every_check_of_scikit_learn_passes(model):
    sklearn_contract.run_all(model, "batches and held-out parts")


def by_hand(text, values):
    """Return the label that nested questions of an exported text lead to."""
    lines = text.splitlines()
    while not lines[0].startswith("class "):
        question = lines[0].removesuffix(" > 0")
        terms = re.findall(r"([+-]?) ?(\d+\.\d+)(?: (x\d+))?", question)
        height = sum(
            (-1 if sign == "-" else 1) * float(weight) * values.get(name, 1.0)
            for sign, weight, name in terms
        )
        cut = next(k for k, line in enumerate(lines) if line.startswith("`-- yes: "))
        below = lines[cut:] if height > 0 else lines[1:cut]
        lines = [re.sub(r"^.-- (no|yes): ", "", below[0])]
        lines += [line[4:] for line in below[1:]]
    return lines[0].removeprefix("class ")


@pytest.mark.parametrize("standardize", [True, False])
def test_the_exported_text_predicts_what_the_tree_predicts(fitted, table, standardize):
    x, y = table
    assert fitted.score(x, y) > 0.95
    assert fitted.get_n_leaves() >= 3
    assert fitted.get_depth() == 2
    rows = (x - x.mean(0)) / x.std(0) if standardize else x
    tables = [{f"x{k}": v for k, v in enumerate(row)} for row in rows[:150]]
    text = fitted.export_text(standardize=standardize, decimals=15)
    labels = [by_hand(text, values) for values in tables]
    assert labels == fitted.predict(x[:150]).tolist()
    # Broken twin: the largest term of each question alone leads elsewhere.
    short = fitted.export_text(standardize=standardize, decimals=15, terms=1)
    short = short.replace(" + ...", "")
    assert [by_hand(short, values) for values in tables] != labels


def test_leaves_hold_the_class_frequencies_of_their_rows(fitted, table):
    x, y = table
    leaves = fitted.apply(x)
    odds = fitted.predict_proba(x)
    for leaf in set(leaves):
        rows = leaves == leaf
        shares = [np.mean(y[rows] == name) for name in fitted.classes_]
        np.testing.assert_allclose(odds[rows], np.tile(shares, (rows.sum(), 1)))
    assert len(set(leaves)) == fitted.get_n_leaves()
    assert fitted.predict(x).tolist() == fitted.classes_[odds.argmax(1)].tolist()
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(x)), odds)


def test_the_decision_path_holds_the_questions_that_a_row_meets(fitted, table):
    x = table[0][:80]
    tree, path = fitted.tree_, fitted.decision_path(x).toarray()
    expected = np.zeros_like(path)
    for row, point in enumerate(x):
        node = 0
        while node < len(tree.normals):
            expected[row, node] = bool(tree.normals[node].any())
            node = (
                2 * node + 1 + int(tree.normals[node] @ point + tree.biases[node] > 0)
            )
        expected[row, node] = 1
    assert (path == expected).all()


def test_importances_of_an_axis_parallel_tree_are_those_of_scikit_learn(table):
    x, y = table
    theirs = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, y)
    inside = theirs.tree_
    normals, biases, numbers = np.zeros((7, 3)), np.zeros(7), {0: 0}
    for node in range(7):
        if node in numbers and inside.children_left[numbers[node]] >= 0:
            here = numbers[node]
            normals[node, inside.feature[here]] = 1
            biases[node] = -inside.threshold[here]
            numbers[2 * node + 1] = inside.children_left[here]
            numbers[2 * node + 2] = inside.children_right[here]
    tree = ObliqueTree(normals, biases, np.zeros(8, int))
    codes = np.unique(y, return_inverse=True)[1]
    counts = tree.counts(x.astype("float32"), codes, 3)
    found = importances(tree, gini(counts, shares_of(counts)))
    np.testing.assert_allclose(found, theirs.feature_importances_, atol=1e-9)
    assert found.max() < 1


def test_slanted_questions_equal_scikit_learns_on_rows_that_are_turned_back(rng):
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    z = rng.normal(size=(1500, 4)) * [3, 1, 1, 1]
    y = np.where(z[:, 0] > 0.5, z[:, 1] > 0, z[:, 2] > 0)
    x = z @ turned.T
    model = clone(TINY).set_params(n_init=2).fit(x[:1000], y[:1000])
    straight = DecisionTreeClassifier(max_depth=4, random_state=0)
    upright = clone(straight).fit(z[:1000], y[:1000]).predict(z[1000:])
    assert np.mean(model.predict(x[1000:]) == upright) > 0.93
    # Broken twin: scikit-learn's tree on the turned rows is far off.
    assert np.mean(clone(straight).fit(x[:1000], y[:1000]).predict(x) == y) < 0.93


def test_rows_and_classes_may_have_weights(fitted, table):
    x, y = table
    trusted = np.arange(len(y)) % 4 != 0
    kept = clone(TINY).fit(x, y, trusted.astype(float))
    alone = clone(TINY).fit(x[trusted], y[trusted])
    np.testing.assert_array_equal(kept.predict_proba(x), alone.predict_proba(x))
    factors = {"ash": 5.0, "birch": 1.0, "cedar": 1.0}
    rows = np.array([factors[name] for name in y])
    heavy = clone(TINY).fit(x, y, rows)
    by_name = clone(TINY).set_params(class_weight=factors).fit(x, y)
    np.testing.assert_allclose(heavy.predict_proba(x), by_name.predict_proba(x))
    leaves = heavy.apply(x)
    for leaf in set(leaves):
        here = leaves == leaf
        share = rows[here & (y == "ash")].sum() / rows[here].sum()
        np.testing.assert_allclose(heavy.predict_proba(x[here])[:, 0], share)


def test_the_best_of_several_networks_is_kept(table):
    x, y = table
    weak = clone(NETWORK).set_params(epochs=1, width=1)  # a random question each
    model = clone(TINY).set_params(
        max_depth=1, estimator=weak, refine=0, n_init=3, random_state=2
    )
    one = clone(model).set_params(n_init=1).fit(x, y)
    best = model.fit(x, y)
    assert best.validation_score_ > one.validation_score_


def test_a_pickled_tree_says_the_same_and_a_grid_search_takes_it(fitted, table):
    x, y = table
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(x), fitted.predict_proba(x))
    search = GridSearchCV(TINY, {"max_depth": [1, 2]}, cv=2)
    assert search.fit(x, y).best_params_["max_depth"] == 2


def test_a_drawing_shows_questions_and_labels(fitted, table):
    figure = fitted.plot(*table, feature_names=["height", "girth", "leaf"])
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for word in ("height", "class ash", "class birch", "class cedar", "% right"):
        assert word in words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_depth": 17}, "`max_depth` must be at most 16"),
        ({"max_depth": 0}, "`max_depth` must be a whole number of at least 1"),
        ({"max_depth": 1.5}, "`max_depth` must be a whole number"),
        ({"n_init": 0}, "`n_init` must be a whole number of at least 1"),
        ({"refine": -1}, "`refine` must be a whole number"),
        ({"strength": 0}, "`strength` must be above 0"),
        ({"validation_fraction": 1.0}, "`validation_fraction` must be above 0"),
        ({"estimator": DecisionTreeClassifier()}, "`estimator` must be a DLGNClass"),
        ({"estimator__family": "dnn"}, "`estimator` must be a DLGNClassifier of"),
    ],
)
def test_a_bad_argument_is_named(options, message, table):
    with pytest.raises(ValueError, match=message):
        clone(TINY).set_params(**options).fit(*table)


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([[np.nan], [1.0]], [0, 1], "NaN"),
        ([["red"], ["blue"]], [0, 1], "could not convert string to float"),
        ([[1e300], [1.0]], [0, 1], "must fit float32"),
        ([[0.0], [1.0]], [1, 1], "two classes at least"),
    ],
)
def test_rows_that_are_no_finite_numbers_are_refused(rows, labels, message):
    with pytest.raises(ValueError, match=message):
        clone(TINY).fit(rows, labels)


def prunings(tree, node):
    """Yield the sets of questions of every subtree that starts at a node."""
    yield frozenset()
    if node < len(tree.normals):
        for left, right in itertools.product(
            prunings(tree, 2 * node + 1), prunings(tree, 2 * node + 2)
        ):
            yield left | right | {node}


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_pruning_finds_the_best_of_all_subtrees(rng, kind):
    def best(values):
        return np.bincount(values).argmax() if kind == "classes" else values.mean()

    for _ in range(8):
        tree = ObliqueTree(rng.normal(size=(7, 3)), rng.normal(size=7), np.arange(8))
        x, x_new = rng.normal(size=(2, 90, 3))
        y, y_new = rng.integers(0, 3, (2, 90))
        if kind == "numbers":
            y, y_new = y + rng.normal(size=90), y_new + 0.5
        best_tree = dk.interpret.prune_tree(tree, x, y, x_new, y_new)
        scores = []
        for kept in set(prunings(tree, 0)):
            ends, ends_new = (
                [
                    next((node for node in path if node not in kept), leaf + 7)
                    for path, leaf in zip(
                        tree.decision_path(points), tree.leaf(points), strict=True
                    )
                ]
                for points in (x, x_new)
            )
            values = {end: best(y[np.array(ends) == end]) for end in set(ends)}
            guess = [values.get(end, tree.leaf_labels[end - 7]) for end in ends_new]
            scores.append((-cost(guess, y_new), -len(kept)))
        found = -cost(best_tree.predict(x_new), y_new), -int(best_tree.asks.sum())
        assert found == pytest.approx(max(scores), abs=1e-9)
        assert found[0] > min(scores)[0] + 1e-3


def cost(guess, y):
    """Return errors, or squared errors."""
    if y.dtype.kind == "i":
        return float(np.sum(guess != y))
    return float(np.sum((guess - y) ** 2))


def test_a_tree_of_numbers_predicts_the_mean_of_each_leaf(rng):
    z = rng.normal(size=(700, 3))
    y = np.where(z[:, 0] + z[:, 1] > 0, np.where(z[:, 2] > z[:, 0], 9.0, 4.0), -1.0)
    x = z * [1.0, 20.0, 0.01] + [0.0, 300.0, 5.0]
    y += 0.3 * rng.normal(size=len(y))
    rows, new = slice(500), slice(500, None)
    weights = rng.uniform(0.5, 2, 500)
    model = clone(NUMBERS).fit(x[rows], 1000 + y[rows], weights)
    assert model.score(x[new], 1000 + y[new]) > 0.9
    leaves = model.apply(x[rows])
    for leaf in set(leaves):
        here = leaves == leaf
        mean = np.average(1000 + y[rows][here], weights=weights[here])
        np.testing.assert_allclose(model.predict(x[rows][here]), mean)
    assert model.export_text().count("value") == model.get_n_leaves() == 3
    assert model.export_text(["a", "b", "c"]).splitlines()[1].startswith("|-- no: ")
    words = " ".join(t.get_text() for t in model.plot(x).axes[0].texts)
    assert "700 points" in words
    assert "value" in words
    assert "right" not in words
    assert 0.99 < model.feature_importances_.sum() < 1.01
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(x) == model.predict(x)).all()
    # Broken twin: upright questions of the same depth are far off.
    upright = DecisionTreeRegressor(max_depth=2, random_state=0).fit(x[rows], y[rows])
    assert upright.score(x[new], y[new]) < 0.8


@BOTH
def test_the_depth_is_chosen_on_held_out_rows(rng, model):
    """Parity of three signs needs three questions on each way."""
    x = rng.normal(size=(1000, 3))
    y = (x > 0).sum(axis=1) % 2
    model = clone(model).set_params(refine=3)
    chosen, shallow = (
        clone(model).set_params(max_depth=depth).fit(x, y) for depth in (None, 2)
    )
    assert chosen.get_depth() > 2
    assert chosen.validation_score_ > shallow.validation_score_ + 0.2
    assert chosen.score(x, y) > shallow.score(x, y) + 0.2


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_refitting_numbers_finds_the_tree_of_classes_again(rng, kind):
    """With two classes the squared error is the error, so both refits agree."""
    x, y, tree = dk.data.sample_oblique_tree(1500, dim=3, depth=2, seed=1)
    bent = ObliqueTree(tree.normals + 0.2, tree.biases, tree.leaf_labels)
    labels = y if kind == "classes" else 2.0 * y
    found = dk.interpret.refine_tree(bent, x, labels, 5)
    assert found.leaf_labels.dtype == (int if kind == "classes" else float)
    guess = found.predict(x) if kind == "classes" else found.predict(x) > 1
    assert np.mean(bent.predict(x) == y) < 0.9 < 0.97 < np.mean(guess == y)


def test_whole_weights_are_repeated_points(rng):
    x, y, tree = dk.data.sample_oblique_tree(300, dim=3, depth=2, seed=1)
    times = rng.integers(1, 4, len(y))
    twice, labels = np.repeat(x, times, axis=0), np.repeat(y, times)
    planes = rng.normal(size=(5, 4))
    fits = dk.interpret.affine_fits
    weighted = fits(x, y, planes, times.astype(float))
    np.testing.assert_allclose(weighted, fits(twice, labels, planes), rtol=2e-3)
    assert np.abs(weighted - fits(x, y, planes)).max() > 1e-3
    bent = ObliqueTree(tree.normals + 0.3, tree.biases, tree.leaf_labels)
    ours = dk.interpret.refine_tree(bent, x, y, 2, sample_weight=times)
    theirs = dk.interpret.refine_tree(bent, twice, labels, 2)
    assert np.mean(ours.predict(x) == theirs.predict(x)) > 0.97
