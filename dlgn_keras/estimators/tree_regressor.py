"""DLGNTreeRegressor: an oblique regression tree for tables, read off a DLGN."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from dlgn_keras.data import ObliqueTree
from dlgn_keras.estimators.base import ObliqueTreeEstimator, Rows, enough_steps
from dlgn_keras.interpret.trees.leaves import node_losses, node_values
from dlgn_keras.training.regressor import DLGNRegressor
from dlgn_keras.training.rows import row_weights


class DLGNTreeRegressor(RegressorMixin, ObliqueTreeEstimator):
    """Predict a number from rows of numbers by an oblique tree that a DLGN has found.

    As `DLGNTreeClassifier`, for numbers: each leaf predicts the mean of its rows, nodes
    are refitted and pruned for the squared error, and held-out rows judge by R^2.

    Args:
        max_depth: most questions from the root to a leaf, 1 to 16. Pruning chooses
            the depth up to it. None: held-out rows choose among 2, 4, 6 and 8.
        estimator: the `DLGNRegressor` to train, of family "dlgn", shallow or not,
            with value="network" or "tensor". None: 4 x 10 gates straight from the
            input (DLGN-SF), all-ones value input, slope 2, at least 2,000 steps.
        n_init: number of networks, trained from different seeds.
        refine: sweeps of `dk.interpret.refine_tree`; 0 keeps the gates' hyperplanes.
        strength: `C` of its logistic regressions; smaller values regularise more.
        prune: whether to remove questions that do not help on held-out rows.
        validation_fraction: share of the rows held out, above 0 and below 1,
            rounded down; if that leaves no row, all rows are judged.
        min_samples_leaf: fewest rows on each side of a hyperplane when it is read.
        eps: see `dk.interpret.cluster_hyperplanes`.
        random_state: int, NumPy RandomState or None; seeds the split and networks.
        n_jobs: number of processes that share the networks; None is 1.

    Attributes:
        tree_: `dk.data.ObliqueTree` on raw rows. value_: (leaves,) the predictions.
        n_features_in_: number of features.
        feature_importances_: (features,) decrease of squared error by each node,
            shared among features in proportion to |weight| times the feature's
            standard deviation; sums to 1, or to 0 if no node asks.
        network_: the `DLGNRegressor` that the tree was read off.
        validation_score_: weighted R^2 on held-out rows, before the last fit.
        mean_, deviation_: (features,) of the training rows.

    Raises:
        ValueError: in `fit`, an argument out of range, rows or targets that are not
            finite numbers.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> y = np.where(x[:, 0] + x[:, 1] > 0, 5.0, -2.0)
        >>> network = dk.DLGNRegressor(1, 16, value_input="ones", batch_size=20)
        >>> model = dk.DLGNTreeRegressor(1, estimator=network, random_state=0)
        >>> bool(model.fit(x, y).score(x, y) > 0.9), model.get_n_leaves()
        (True, 2)

    Reference: as `DLGNTreeClassifier`; regression by its gates is ours.
    """

    _network = DLGNRegressor

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "DLGNTreeRegressor":
        """Fit the tree to rows (n, features) and numbers (n,).

        Args:
            sample_weight: (n,) weights of the rows, at least 0, for the network, the
                nodes, the leaves and the choices; rows of weight 0 are left out.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weights = row_weights(y, sample_weight, None).astype(float)
        kept = weights > 0
        strata = np.zeros(kept.sum(), int)
        self._fit_tree(X[kept], y[kept].astype(float), weights[kept], strata)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the mean of each row's leaf, (n,) float64."""
        leaves = self._leaf(X)
        return self.value_.take(leaves)

    def plot(
        self,
        X: Any = None,
        *,
        feature_names: Sequence[str] | None = None,
        terms: int = 2,
    ) -> Any:
        """Draw the tree, features in standard deviations; return matplotlib's Figure.

        Args:
            X: rows to send down the tree: nodes and leaves show how many meet them.
            feature_names, terms: as in `export_text`.
        """
        return self._drawing(X, None, feature_names, terms)

    def _default(self, number: int) -> DLGNRegressor:
        options: dict[str, Any] = {"beta": 2.0, "value_input": "ones"}
        return DLGNRegressor(4, 10, shallow=True, **options, **enough_steps(number))

    def _leaves(
        self, tree: ObliqueTree, rows: Rows
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        data = rows.z, rows.y, rows.weights
        values = node_values(tree, *data)
        leaves = values[len(tree.normals) :]
        return leaves, leaves, node_losses(tree, values, *data)
