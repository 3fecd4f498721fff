"""Losses of a recipe, against NumPy and scikit-learn: two classes, and numbers."""

import numpy as np
import pytest
import sklearn_contract
from few_digits import digits
from sklearn.datasets import load_diabetes
from sklearn.metrics import log_loss, r2_score
from sklearn.utils import estimator_checks

from dlgn_keras.data import given, load
from dlgn_keras.data.stored import as_stored
from dlgn_keras.training import DLGNRegressor, Recipe, evaluate, fit
from dlgn_keras.training.result import Result
from dlgn_keras.tuning import GatedHyperModel, search

QUICK = (
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
    "check_complex_data",
    "check_regressors_int",
    "check_regressors_no_decision_function",
    "check_n_features_in",
)
RECIPE = Recipe(skeleton="fc:depth=1,width=8", epochs=2, batch_size=16)
TABLE = load_diabetes()
X, Y = TABLE.data[:90].astype("float32") * 20, TABLE.target[:90] / 50


def test_one_logit_for_two_classes(tmp_path):
    data = load("digits").binary((0, 1)).take(60, 30)
    recipe = RECIPE.replace(loss="binary", epochs=10, learning_rate=0.02)
    result = fit(recipe, tmp_path, dataset=data, progress=False)
    assert result.model.num_classes == 1
    logits = result.model.predict(data.x_test, verbose=0)[:, 0]
    hits = (logits > 0) == data.y_test
    assert result.test_accuracy == pytest.approx(hits.mean(), abs=1e-6)
    assert hits.mean() > 0.8
    found = evaluate(result.model, data.x_test, data.y_test)
    shares = 1 / (1 + np.exp(-logits.astype(float)))
    assert found["loss"] == pytest.approx(log_loss(data.y_test, shares), rel=1e-4)
    assert found["accuracy"] == pytest.approx(hits.mean())
    assert Result.load(tmp_path).recipe["loss"] == "binary"


@pytest.mark.parametrize("on_disk", [False, True])
def test_numbers_are_measured_by_r2(on_disk):
    y = np.stack([Y, -Y + X[:, 0]], axis=1)
    data = {"train": (X[:70], y[:70]), "test": (X[70:], y[70:])}
    if on_disk:
        data = {split: (as_stored(x), y) for split, (x, y) in data.items()}
    recipe = RECIPE.replace(loss="mse", epochs=30, learning_rate=0.01)
    result = fit(recipe, dataset=data, progress=False)
    predicted = result.model.predict(X[70:], verbose=0)
    assert result.test_accuracy == pytest.approx(r2_score(y[70:], predicted), abs=1e-4)
    assert result.history[-1]["test_r2"] == result.test_accuracy
    found = evaluate(result.model, X[70:], y[70:])
    assert found["r2"] == pytest.approx(r2_score(y[70:], predicted), abs=1e-5)
    assert found["loss"] == pytest.approx(
        np.square(predicted - y[70:]).mean(), rel=1e-4
    )


def test_numbers_from_a_file_and_a_search(tmp_path):
    path = str(tmp_path / "table.npz")
    np.savez(path, x_train=X[:70], y_train=Y[:70], x_test=X[70:], y_test=Y[70:])
    data = load(path, targets="numbers")
    assert data.num_classes == 1
    assert data.take(50).with_validation(0.2).y_validation.shape == (10, 1)
    model = GatedHyperModel(
        "dlgn", "fc:depth=1,width=8", path, {"beta": [1.0, 4.0]}, loss="mse", epochs=1
    )
    options = {"algorithm": "grid", "retrain_seeds": 1, "progress": False}
    found = search(model, tmp_path / "tuned", **options)
    assert {row["status"] for row in found.rows} == {"finished"}
    assert found.retrained[0].history[-1]["validation_r2"] <= 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"loss": "mae"}, "`loss` must be one of crossentropy, binary, mse"),
        (
            {"loss": "mse", "label_smoothing": 0.1},
            "`label_smoothing` goes with",
        ),
        ({"loss": "binary", "mixup": 0.2}, "`mixup` goes with classes"),
    ],
)
def test_recipes_that_contradict_themselves(options, told):
    with pytest.raises(ValueError, match=told):
        Recipe(**options)


def test_data_that_do_not_fit_the_loss():
    with pytest.raises(ValueError, match="needs data with two classes"):
        fit(RECIPE.replace(loss="binary"), dataset=digits(), progress=False)
    with pytest.raises(ValueError, match="needs data with targets='numbers'"):
        fit(RECIPE.replace(loss="mse"), dataset=digits(), progress=False)
    with pytest.raises(ValueError, match="needs data with classes"):
        fit(RECIPE, dataset=given((X, Y), targets="numbers"), progress=False)
    with pytest.raises(ValueError, match=r"go with an \.npz"):
        load("digits", targets="numbers")
    with pytest.raises(ValueError, match="finite in float32"):
        given((X, Y * np.nan), targets="numbers")
    with pytest.raises(ValueError, match="needs classes"):
        given((X, Y), targets="numbers").binary((0, 1))


@pytest.mark.parametrize("name", QUICK)
def test_the_regressor_passes_scikit_learns_quick_checks(name):
    check = getattr(estimator_checks, name)
    check("DLGNRegressor", DLGNRegressor(2, 8, epochs=30, random_state=0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_regressor_is_one_of_scikit_learns():
    regressor = DLGNRegressor(2, 8, epochs=60, batch_size=20, random_state=0)
    sklearn_contract.run_all(regressor, "batches")


def test_the_regressor_learns_what_a_line_cannot():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = 1000 + 50 * np.abs(x[:, 0])
    found = DLGNRegressor(2, 8, batch_size=20, random_state=0).fit(x[:200], y[:200])
    assert found.score(x[200:], y[200:]) > 0.8
    line = np.linalg.lstsq(np.c_[x, np.ones(300)][:200], y[:200], rcond=None)[0]
    assert r2_score(y[200:], np.c_[x, np.ones(300)][200:] @ line) < 0.3
