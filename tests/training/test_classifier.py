"""DLGNClassifier: scikit-learn's contract, and the very model that `fit` trains."""

import pickle

import keras
import numpy as np
import pytest
import sklearn_contract
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dlgn_keras as dk
from dlgn_keras.data import Dataset
from dlgn_keras.training import Recipe, fit

TINY = dk.DLGNClassifier(2, 8, epochs=40, random_state=0)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return x, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def fitted(iris):
    return clone(TINY).fit(*iris)


@pytest.mark.parametrize("name", sklearn_contract.QUICK)
def test_scikit_learn_checks_that_are_quick_pass(name):
    sklearn_contract.run(name, TINY)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_check_of_scikit_learn_passes():
    sklearn_contract.run_all(TINY, "batches")


def test_predictions_are_those_of_the_model(fitted, iris):
    x, y = iris
    logits = keras.ops.convert_to_numpy(fitted.model_(x.astype("float32")))
    assert fitted.score(x, y) > 0.9
    assert list(fitted.classes_) == sorted(set(y))
    np.testing.assert_allclose(fitted.decision_function(x), logits, atol=1e-5)
    odds = fitted.predict_proba(x)
    np.testing.assert_allclose(odds.sum(axis=1), 1)
    ratios = np.log(odds[:, 1] / odds[:, 0])
    np.testing.assert_allclose(ratios, logits[:, 1] - logits[:, 0], atol=1e-4)
    assert (fitted.predict(x) == fitted.classes_[logits.argmax(axis=1)]).all()


def test_it_trains_the_weights_that_fit_trains(fitted, iris):
    x, y = iris
    codes = np.unique(y, return_inverse=True)[1]
    rows = x.astype("float32")
    seed = np.random.RandomState(0).randint(2**31 - 1)
    dataset = Dataset("iris", rows, codes, rows[:5], codes[:5], 3,
                      preprocessing=fitted.model_.preprocessing)  # fmt: skip
    recipe = Recipe(
        skeleton="fc:depth=2,width=8", value_input="ones", epochs=40, batch_size=150,
        learning_rate=0.02, schedule="one_cycle", seed=int(seed),
    )  # fmt: skip
    model = fit(recipe, dataset=dataset, progress=False).model
    for ours, theirs in zip(
        fitted.model_.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_scaling_is_part_of_the_model(fitted, iris):
    x, _ = iris
    inputs = fitted.model_.preprocessing.apply(x)
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(axis=0), 1, atol=1e-5)
    plain = clone(TINY).set_params(standardize=False, epochs=1).fit(*iris)
    np.testing.assert_allclose(plain.model_.preprocessing.apply(x), x, rtol=1e-6)


def test_a_pickled_classifier_says_the_same(fitted, iris):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        again.predict_proba(iris[0]), fitted.predict_proba(iris[0])
    )


def test_it_stands_in_a_pipeline_and_in_a_grid_search(iris):
    pipeline = make_pipeline(StandardScaler(), clone(TINY))
    grid = {"dlgnclassifier__epochs": [1, 40]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(*iris)
    assert search.best_params_ == {"dlgnclassifier__epochs": 40}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth` must be a whole number of at least 1"),
        ({"family": "dlg"}, "Did you mean 'dlgn'"),
        ({"beta": -1.0}, "`beta` must be a finite number above 0"),
        ({"epochs": 0}, "`epochs` must be a whole number of at least 1"),
    ],
)
def test_a_bad_argument_is_named_when_it_is_used(options, message, iris):
    with pytest.raises(ValueError, match=message):
        clone(TINY).set_params(**options).fit(*iris)


def test_one_class_is_refused(iris):
    with pytest.raises(ValueError, match="two classes at least"):
        clone(TINY).fit(iris[0], np.zeros(len(iris[0])))


def test_weights_of_rows_and_classes_weigh_the_loss(iris):
    x, y = iris
    wrong = np.array(y)
    wrong[::3] = np.roll(y, 60)[::3]  # a third of the labels is of another class
    trust = (np.arange(len(y)) % 3 != 0).astype(float)
    right = clone(TINY).fit(x, wrong, sample_weight=trust)
    assert right.score(x, y) > 0.9
    assert right.score(x, y) > clone(TINY).fit(x, wrong).score(x, y)

    short = clone(TINY).set_params(epochs=8)
    plain = clone(short).fit(x, y).predict_proba(x)
    twos = clone(short).fit(x, y, sample_weight=np.full(len(y), 2.0))
    np.testing.assert_allclose(twos.predict_proba(x), plain, atol=1e-6)

    few = np.r_[0:60, 100:104]
    balanced = clone(short).set_params(class_weight="balanced").fit(x[few], y[few])
    factors = {name: len(few) / 3 / np.sum(y[few] == name) for name in set(y)}
    by_name = clone(short).set_params(class_weight=factors).fit(x[few], y[few])
    rows = clone(short).fit(x[few], y[few], [factors[name] for name in y[few]])
    for other in (by_name, rows):
        np.testing.assert_allclose(
            other.predict_proba(x), balanced.predict_proba(x), atol=1e-5
        )
    for weights in (np.ones(3), -np.ones(len(y)), np.zeros(len(y))):
        with pytest.raises(ValueError, match="eight"):
            clone(TINY).fit(x, y, weights)
