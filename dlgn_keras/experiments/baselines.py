"""scikit-learn's classifiers, tuned on the validation part, for tables of ours."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data import Dataset

# Kernel matrices of more points than that take hours.
SVM_POINTS = 20_000


class Scores(NamedTuple):
    """Accuracies in % on the validation and on the test part."""

    validation: float
    test: float


class Baseline(NamedTuple):
    """A classifier and the settings to choose from.

    make: (settings, seed) -> an estimator that is not fitted.
    settings: what is tried; the best on the validation part is taken.
    random: whether another seed gives another classifier.
    points: most training points it is given; None for all.
    """

    make: Callable[[dict[str, Any], int], Any]
    settings: tuple[dict[str, Any], ...]
    random: bool = True
    points: int | None = None


def _svm(settings: dict[str, Any], seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(**settings)


def _forest(settings: dict[str, Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=100, random_state=seed, **settings)


def _boosting(settings: dict[str, Any], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=500, random_state=seed, **settings)


def _cart(settings: dict[str, Any], seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=seed, **settings)


BASELINES = {
    "CART": Baseline(_cart, ({"max_depth": 8}, {"max_depth": 12}, {"max_depth": 16})),
    "gradient boosting": Baseline(
        _boosting, ({"learning_rate": 0.05}, {"learning_rate": 0.1})
    ),
    "random forest": Baseline(
        _forest, ({"min_samples_leaf": 1}, {"min_samples_leaf": 5})
    ),
    "SVM": Baseline(_svm, ({"C": 1.0}, {"C": 10.0}), False, SVM_POINTS),
}


def measure_baseline(
    name: str, settings: dict[str, Any], dataset: Dataset, seed: int
) -> Scores:
    """Train one baseline with one setting and return its accuracies.

    Args:
        name: one of `BASELINES`.
        settings: of its estimator.
        dataset: with a validation part.
        seed: of the estimator.
    """
    baseline = BASELINES[name]
    x, y = _flat(dataset.x_train)[: baseline.points], dataset.y_train[: baseline.points]
    model = baseline.make(settings, seed).fit(x, y)
    parts = (
        (dataset.x_validation, dataset.y_validation),
        (dataset.x_test, dataset.y_test),
    )
    return Scores(*(100 * float(model.score(_flat(x), y)) for x, y in parts))


def _flat(x: Any) -> np.ndarray:
    return np.asarray(x).reshape(len(x), -1)
