"""DLGNRegressor: a gated network as a scikit-learn regressor of tables."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from dlgn_keras.training.rows import (
    as_float32,
    outputs_of,
    recipe_of,
    row_weights,
    trained,
)


class DLGNRegressor(RegressorMixin, BaseEstimator):
    """Predict a number from rows of numbers by a fully connected DLGN or its twins.

    As `DLGNClassifier`, with the mean squared error. The targets are shifted and
    scaled to mean 0 and deviation 1 while it trains, and predictions scaled back.

    Args:
        depth, width: number of sites, and units per site, of `dk.skeletons.fc`.
        family: "dlgn", "dgn" or "dnn".
        shallow: whether gates come straight from the input (DLGN-SF).
        value: "network", or "tensor" for one value per path (DLGN-VT).
        value_input: "input" or "ones", for which predictions are piecewise constant
            at hard gates; a DNN has none, and it is ignored.
        beta: slope of the soft gate, above 0.
        optimizer, learning_rate, schedule, weight_decay, batch_size, epochs: as in
            `Recipe`; a batch is at most all rows.
        standardize: whether features are shifted and scaled to mean 0 and standard
            deviation 1 of the training rows, as part of the model.
        random_state: int, NumPy RandomState or None; seeds the weights and the order
            of the rows.

    Attributes:
        n_features_in_: number of features.
        model_: the trained Keras model, raw rows to scaled targets.
        mean_, scale_: a prediction is `mean_ + scale_ * model_(rows)`.
        loss_, r2_: means over all epochs of the training.

    Raises:
        ValueError: in `fit`, an argument out of range, rows or targets that are not
            finite numbers.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras.training import DLGNRegressor
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> y = 5 + np.abs(x[:, 0]) - x[:, 1]
        >>> regressor = DLGNRegressor(2, 8, batch_size=20, random_state=0)
        >>> bool(regressor.fit(x, y).score(x, y) > 0.9)
        True
    """

    def __init__(
        self,
        depth: int = 4,
        width: int = 20,
        *,
        family: str = "dlgn",
        shallow: bool = False,
        value: str = "network",
        value_input: str = "input",
        beta: float = 4.0,
        optimizer: str = "adam",
        learning_rate: float = 0.02,
        schedule: str = "one_cycle",
        weight_decay: float = 0.0,
        batch_size: int = 200,
        epochs: int = 100,
        standardize: bool = True,
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
        self.batch_size = batch_size
        self.epochs = epochs
        self.standardize = standardize
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "DLGNRegressor":
        """Train on rows (n, features) and numbers (n,).

        Args:
            sample_weight: (n,) factors on the loss of each row, at least 0; scaled
                to mean 1.
        """
        recipe = recipe_of(self, loss="mse")
        X, y = validate_data(self, X, y, y_numeric=True)
        rows, y = as_float32(X), np.asarray(y, float)
        mean, scale = y.mean(), y.std() or 1.0
        targets = (y - mean) / scale
        weights = None
        if sample_weight is not None:
            weights = row_weights(y, sample_weight, None)
        run = trained(recipe, rows, targets, weights, self.standardize, 1)
        # Set together at the end: an interrupted fit keeps the previous model.
        self.model_, self.mean_, self.scale_ = run.net, float(mean), float(scale)
        self.loss_, self.r2_ = run.history[-1]["loss"], run.history[-1]["r2"]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted number of each row, (n,) float64."""
        check_is_fitted(self, "model_")
        rows = as_float32(validate_data(self, X, reset=False))
        return self.mean_ + self.scale_ * outputs_of(self.model_, rows)[:, 0]
