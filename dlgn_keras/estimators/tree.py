"""DLGNTreeClassifier: an oblique decision tree for tables, read off a DLGN."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from dlgn_keras.data import ObliqueTree
from dlgn_keras.estimators.base import ObliqueTreeEstimator, Rows, enough_steps
from dlgn_keras.training.classifier import DLGNClassifier, encode
from dlgn_keras.training.rows import row_weights


class DLGNTreeClassifier(ClassifierMixin, ObliqueTreeEstimator):
    """Classify rows of numbers by an oblique decision tree that a DLGN has found.

    Each node asks whether a weighted sum of the features is above a threshold. `fit`
    trains a DLGN on part of the rows, reads the tree off its gates
    (`dk.interpret.oblique_tree`), refits the nodes, and prunes it on the other rows,
    which also choose among networks. The nodes and the class frequencies of the
    leaves are then fitted to all rows. Predictions use the tree alone.

    More than two classes make one tree, whose leaves hold a frequency for each class.
    Missing values and categories are refused: encode them first.

    Args:
        max_depth: most questions from the root to a leaf, 1 to 16. Pruning chooses
            the depth up to it. None: held-out rows choose among 2, 4, 6 and 8.
        estimator: the `DLGNClassifier` to train, of family "dlgn", shallow or not,
            with value="network" or "tensor". None: 4 x 10 gates straight from the
            input (DLGN-SF), slope 2, label smoothing 0.1, at least 2,000 steps.
        n_init: number of networks, trained from different seeds.
        refine: sweeps of `dk.interpret.refine_tree`; 0 keeps the gates' hyperplanes.
        strength: `C` of its logistic regressions; smaller values regularise more.
        prune: whether to remove questions that do not help on held-out rows.
        validation_fraction: share of each class held out, above 0 and below 1,
            rounded down; if that leaves no row, all rows are judged.
        min_samples_leaf: fewest rows on each side of a hyperplane when it is read.
        eps: see `dk.interpret.cluster_hyperplanes`.
        class_weight: factors on each class, {label: factor} or "balanced"; None is 1.
        random_state: int, NumPy RandomState or None; seeds the split and networks.
        n_jobs: number of processes that share the networks; None is 1.

    Attributes:
        tree_: `dk.data.ObliqueTree` on raw rows.
        value_: (leaves, classes) weighted class frequencies; rows sum to 1.
        classes_: (classes,) the labels. n_features_in_: number of features.
        feature_importances_: (features,) decrease of Gini impurity by each node,
            shared among features in proportion to |weight| times the feature's
            standard deviation; sums to 1, or to 0 if no node asks.
        network_: the `DLGNClassifier` that the tree was read off.
        validation_score_: weighted accuracy on held-out rows, before the last fit.
        mean_, deviation_: (features,) of the training rows.

    Raises:
        ValueError: in `fit`, an argument out of range, rows that are not finite
            numbers, or fewer than two classes.

    Example:
        >>> import dlgn_keras as dk
        >>> x, y, _ = dk.data.sample_oblique_tree(800, dim=3, depth=1)
        >>> network = dk.DLGNClassifier(1, 8, epochs=20)
        >>> model = dk.DLGNTreeClassifier(1, estimator=network, random_state=0)
        >>> bool(model.fit(x, y).score(x, y) > 0.97), model.get_n_leaves()
        (True, 2)

    Reference: "Deep Networks Learn Features From Local Discontinuities in the
    Label Function" (ICLR 2025), DLGN-DT, with the options of `oblique_tree`.
    """

    _network = DLGNClassifier

    def __init__(
        self,
        max_depth: int | None = 6,
        *,
        estimator: DLGNClassifier | None = None,
        n_init: int = 1,
        refine: int = 10,
        strength: float = 1.0,
        prune: bool = True,
        validation_fraction: float = 0.2,
        min_samples_leaf: int = 5,
        eps: float = 0.2,
        class_weight: dict | str | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            max_depth,
            estimator=estimator,
            n_init=n_init,
            refine=refine,
            strength=strength,
            prune=prune,
            validation_fraction=validation_fraction,
            min_samples_leaf=min_samples_leaf,
            eps=eps,
            random_state=random_state,
            n_jobs=n_jobs,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "DLGNTreeClassifier":
        """Fit the tree to rows (n, features) and labels (n,) of any type.

        Args:
            sample_weight: (n,) weights of the rows, at least 0, for the network, the
                nodes, the leaves and the choices; rows of weight 0 are left out.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64)
        weights = row_weights(y, sample_weight, self.class_weight).astype(float)
        kept = weights > 0
        classes, codes = encode(y[kept])
        self._fit_tree(X[kept], codes, weights[kept], strata=codes)
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the most frequent label of each row's leaf, (n,)."""
        leaves = self._leaf(X)
        return self.classes_[self.tree_.leaf_labels].take(leaves)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class frequencies of each row's leaf, (n, classes)."""
        leaves = self._leaf(X)
        return self.value_.take(leaves, axis=0)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`; that of 0 is -inf."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def export_text(
        self,
        feature_names: Sequence[str] | None = None,
        class_names: Sequence[Any] | None = None,
        *,
        standardize: bool = True,
        terms: int | None = None,
        decimals: int = 2,
    ) -> str:
        """Return the tree as text, one line a node, each below its parent.

        Args:
            feature_names: default the columns of a DataFrame, or "x0", "x1", ...
            class_names: in the order of `classes_`; default its labels.
            standardize: whether features are written in standard deviations from
                their means, so that weights compare; False writes raw features.
            terms: number of features to write per node, the largest weights first;
                None writes all.
            decimals: digits after the point. Weights have length 1.
        """
        classes = self._classes(class_names)
        return self._text(feature_names, standardize, terms, decimals, classes)

    def plot(
        self,
        X: Any = None,
        y: Any = None,
        *,
        feature_names: Sequence[str] | None = None,
        class_names: Sequence[Any] | None = None,
        terms: int = 2,
    ) -> Any:
        """Draw the tree, features in standard deviations; return matplotlib's Figure.

        Args:
            X, y: rows and labels to send down the tree: nodes show how many meet
                them, leaves how many are right.
            feature_names, class_names, terms: as in `export_text`.
        """
        classes = self._classes(class_names)
        codes = None if X is None else np.searchsorted(self.classes_, np.asarray(y))
        return self._drawing(X, codes, feature_names, terms, classes)

    def _classes(self, names: Sequence[Any] | None) -> Sequence[Any]:
        check_is_fitted(self)
        names = list(self.classes_ if names is None else names)
        if len(names) != len(self.classes_):
            raise ValueError(
                f"`class_names` must hold {len(self.classes_)} names. "
                f"Received: {len(names)} names."
            )
        return names

    def _default(self, number: int) -> DLGNClassifier:
        # The slope is chosen by held-out rows of planted trees (benchmarks/).
        options: dict[str, Any] = {"beta": 2.0, "label_smoothing": 0.1}
        return DLGNClassifier(4, 10, shallow=True, **options, **enough_steps(number))

    def _leaves(
        self, tree: ObliqueTree, rows: Rows
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts = tree.counts(rows.z, rows.y, int(rows.y.max()) + 1, rows.weights)
        shares = shares_of(counts)
        leaves = shares[len(tree.normals) :]
        return leaves.argmax(axis=1), leaves, gini(counts, shares)


def shares_of(counts: np.ndarray) -> np.ndarray:
    """Return class frequencies at nodes and leaves; empty ones take their parent's."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1)
    for node in range(1, len(shares)):
        if not totals[node]:
            shares[node] = shares[(node - 1) // 2]
    return shares


def gini(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the weights of the classes at nodes and leaves times Gini impurities."""
    return counts.sum(axis=1) * (1 - (shares**2).sum(axis=1))
