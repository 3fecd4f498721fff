"""DLGNClassifier: a gated network as a scikit-learn classifier of tables."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from dlgn_keras.tools.numbers import softmax
from dlgn_keras.training.rows import (
    as_float32,
    outputs_of,
    recipe_of,
    row_weights,
    trained,
)


class DLGNClassifier(ClassifierMixin, BaseEstimator):
    """Classify rows of numbers by a fully connected DLGN, its twins or its variants.

    The classifier trains the model of a `Recipe` with the same steps as
    `dk.training.fit`. With the all-ones value input, the logits depend on x only
    through half-spaces, listed by `dk.interpret.hyperplanes(classifier.model_)`.

    Args:
        depth, width: number of sites, and units per site, of `dk.skeletons.fc`.
        family: "dlgn", "dgn" or "dnn".
        shallow: whether gates come straight from the input (DLGN-SF).
        value: "network", or "tensor" for one value per path (DLGN-VT).
        value_input: "ones" or "input"; a DNN has none, and it is ignored.
        beta: slope of the soft gate, above 0.
        optimizer, learning_rate, schedule, weight_decay, label_smoothing, batch_size,
            epochs: as in `Recipe`; a batch is at most all rows.
        standardize: whether features are shifted and scaled to mean 0 and standard
            deviation 1 of the training rows, as part of the model.
        class_weight: factors on the loss of each class, {label: factor} or "balanced";
            None is 1 for all.
        random_state: int, NumPy RandomState or None; seeds the weights and the order
            of the rows.

    Attributes:
        classes_: (classes,) the labels. n_features_in_: number of features.
        model_: the trained Keras model, raw rows to logits.
        loss_, accuracy_: means over all epochs of the training.

    Raises:
        ValueError: in `fit`, an argument out of range, rows that are not finite
            numbers, or fewer than two classes.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from dlgn_keras.training import DLGNClassifier
        >>> x, y = load_iris(return_X_y=True)
        >>> classifier = DLGNClassifier(2, 8, epochs=60, random_state=0).fit(x, y)
        >>> bool(classifier.score(x, y) > 0.9)
        True

    Reference: "Deep Networks Learn Features From Local Discontinuities in the
    Label Function" (ICLR 2025), whose tabular models these are.
    """

    def __init__(
        self,
        depth: int = 4,
        width: int = 20,
        *,
        family: str = "dlgn",
        shallow: bool = False,
        value: str = "network",
        value_input: str = "ones",
        beta: float = 4.0,
        optimizer: str = "adam",
        learning_rate: float = 0.02,
        schedule: str = "one_cycle",
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        batch_size: int = 200,
        epochs: int = 100,
        standardize: bool = True,
        class_weight: dict | str | None = None,
        random_state: Any = None,
    ) -> None:
        self.depth = depth
        self.width = width
        self.family = family
        self.shallow = shallow
        self.value = value
        self.value_input = value_input
        self.beta = beta
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.batch_size = batch_size
        self.epochs = epochs
        self.standardize = standardize
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "DLGNClassifier":
        """Train on rows (n, features) and labels (n,) of any type.

        Args:
            sample_weight: (n,) factors on the loss of each row, at least 0; scaled
                to mean 1 together with the class weights.
        """
        recipe = recipe_of(self)
        X, y = validate_data(self, X, y)
        classes, codes = encode(y)
        rows = as_float32(X)
        weights = None
        if not (sample_weight is None and self.class_weight is None):
            weights = row_weights(y, sample_weight, self.class_weight)
        run = trained(recipe, rows, codes, weights, self.standardize, len(classes))
        # Set together at the end: an interrupted fit keeps the previous model.
        self.model_, self.classes_ = run.net, classes
        self.loss_ = run.history[-1]["loss"]
        self.accuracy_ = run.history[-1]["accuracy"]
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return logits (n, classes); for two classes, second minus first, (n,)."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the softmax of the logits, (n, classes), rows that sum to 1."""
        return softmax(self._logits(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of each row, (n,)."""
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def _logits(self, X: Any) -> np.ndarray:
        """Return float64 logits, computed eagerly to avoid compiling a program."""
        check_is_fitted(self, "model_")
        rows = as_float32(validate_data(self, X, reset=False))
        return outputs_of(self.model_, rows)


def encode(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and every row's class number; refuse fewer than two."""
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"`y` must hold two classes at least. Received: {len(classes)} class."
        )
    return classes, codes
