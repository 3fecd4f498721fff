"""Classifiers of scikit-learn, which networks are compared with."""

import importlib
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data import Dataset

# Larger kernel matrices take hours.
SVM_POINTS = 20_000


class Scores(NamedTuple):
    """Accuracies in % on the validation and on the test part."""

    validation: float
    test: float


class Baseline(NamedTuple):
    """A classifier of scikit-learn and the settings to choose from.

    name: its module and class.
    settings: the best on the validation part is chosen.
    fixed: further options.
    random: whether the seed changes the classifier.
    points: most training points it is given; None for all.
    """

    name: str
    settings: tuple[dict[str, Any], ...]
    fixed: dict[str, Any] | None = None
    random: bool = True
    points: int | None = None


BASELINES = {
    "CART": Baseline(
        "tree.DecisionTreeClassifier",
        ({"max_depth": 8}, {"max_depth": 12}, {"max_depth": 16}),
    ),
    "gradient boosting": Baseline(
        "ensemble.HistGradientBoostingClassifier",
        ({"learning_rate": 0.05}, {"learning_rate": 0.1}),
        {"max_iter": 500},
    ),
    "random forest": Baseline(
        "ensemble.RandomForestClassifier",
        ({"min_samples_leaf": 1}, {"min_samples_leaf": 5}),
        {"n_estimators": 100},
    ),
    "SVM": Baseline("svm.SVC", ({"C": 1.0}, {"C": 10.0}), None, False, SVM_POINTS),
}


def measure_baseline(
    name: str, settings: dict[str, Any], dataset: Dataset, seed: int
) -> Scores:
    """Train one baseline with one setting and return its accuracies.

    Args:
        name: one of `BASELINES`.
        settings: options of its estimator.
        dataset: data with a validation part.
        seed: seed of the estimator.
    """
    baseline = BASELINES[name]
    x, y = _flat(dataset.x_train)[: baseline.points], dataset.y_train[: baseline.points]
    module, _, kind = baseline.name.partition(".")
    make = getattr(importlib.import_module(f"sklearn.{module}"), kind)
    model = make(random_state=seed, **(baseline.fixed or {}), **settings).fit(x, y)
    parts = (
        (dataset.x_validation, dataset.y_validation),
        (dataset.x_test, dataset.y_test),
    )
    return Scores(*(100 * float(model.score(_flat(x), y)) for x, y in parts))


def _flat(x: Any) -> np.ndarray:
    return np.asarray(x).reshape(len(x), -1)
