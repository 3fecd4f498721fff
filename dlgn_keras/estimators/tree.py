"""DLGNTreeClassifier: an oblique decision tree for tables, read off a DLGN."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret import oblique_tree, plots, prune_tree, refine_tree
from dlgn_keras.tools.messages import check_count
from dlgn_keras.training.classifier import DLGNClassifier, encode
from dlgn_keras.training.rows import as_float32, row_weights

MAX_DEPTH = 16
FEWEST_STEPS, FEWEST_EPOCHS, BATCH = 2000, 100, (16, 200)


class Rows(NamedTuple):
    """Rows of a table: raw and standardized, their class numbers and weights."""

    x: np.ndarray
    z: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def take(self, chosen: np.ndarray) -> "Rows":
        return Rows(*(part[chosen] for part in self))


class Candidate(NamedTuple):
    """A tree of standardized features, its net, and its share of validation hits."""

    score: float
    tree: ObliqueTree
    network: DLGNClassifier


class DLGNTreeClassifier(ClassifierMixin, BaseEstimator):
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
            the depth up to it.
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

    def __init__(
        self,
        max_depth: int = 6,
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
        self.max_depth = max_depth
        self.estimator = estimator
        self.n_init = n_init
        self.refine = refine
        self.strength = strength
        self.prune = prune
        self.validation_fraction = validation_fraction
        self.min_samples_leaf = min_samples_leaf
        self.eps = eps
        self.class_weight = class_weight
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "DLGNTreeClassifier":
        """Fit the tree to rows (n, features) and labels (n,) of any type.

        Args:
            sample_weight: (n,) weights of the rows, at least 0, for the network, the
                nodes, the leaves and the choices; rows of weight 0 are left out.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64)
        weights = row_weights(y, sample_weight, self.class_weight).astype(float)
        X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        classes, codes = encode(y)
        as_float32(X)  # refuses what a network cannot hold
        mean, deviation = X.mean(axis=0), X.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        rows = Rows(X, (X - mean) / deviation, codes, weights)

        random = check_random_state(self.random_state)
        held_out = _held_out(codes, self.validation_fraction, random)
        judging = rows.take(held_out if held_out.any() else ~held_out)
        seeds = random.randint(2**31 - 1, size=self.n_init)
        run = delayed(self._candidate)
        found = Parallel(n_jobs=self.n_jobs)(
            run(rows.take(~held_out), judging, mean, deviation, int(seed))
            for seed in seeds
        )
        best = max(found, key=_preference)

        tree = best.tree
        if self.refine:
            tree = self._refined(tree, rows)
        counts = tree.counts(rows.z, codes, len(classes), weights)
        shares = shares_of(counts)
        leaves = shares[len(tree.normals) :]
        tree = ObliqueTree(tree.normals, tree.biases, leaves.argmax(axis=1))
        self.feature_importances_ = importances(tree, counts, shares)
        self.mean_, self.deviation_ = mean, deviation
        self.tree_ = tree.rescaled(1 / deviation, -mean / deviation)
        self.value_ = leaves
        self.network_, self.validation_score_ = best.network, best.score
        self.classes_ = classes
        return self

    # -- predictions ---------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """Return the most frequent label of each row's leaf, (n,)."""
        rows = self._rows(X)
        return self.classes_[self.tree_.leaf_labels].take(self.tree_.leaf(rows))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class frequencies of each row's leaf, (n, classes)."""
        rows = self._rows(X)
        return self.value_.take(self.tree_.leaf(rows), axis=0)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`; that of 0 is -inf."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def apply(self, X: Any) -> np.ndarray:
        """Return the number of each row's leaf, (n,), which follow the nodes'."""
        rows = self._rows(X)
        return self.tree_.leaf(rows) + len(self.tree_.normals)

    def decision_path(self, X: Any) -> csr_matrix:
        """Return the nodes that each row meets, and its leaf, as a sparse indicator.

        Returns:
            (n, nodes + leaves) of 0 and 1; node i has the children 2 i + 1 ("no")
            and 2 i + 2 ("yes"). Nodes that ask nothing are left out.
        """
        rows = self._rows(X)
        nodes = len(self.tree_.normals)
        ways = self.tree_.decision_path(rows)
        asked = np.column_stack([self.tree_.asks[ways], np.ones(len(rows), bool)])
        ways = np.column_stack([ways, self.tree_.leaf(rows) + nodes])
        starts = np.append(0, asked.sum(axis=1).cumsum())
        met = ways[asked]
        shape = (len(rows), 2 * nodes + 1)
        return csr_matrix((np.ones(len(met), np.int64), met, starts), shape)

    # -- reading -------------------------------------------------------------

    def get_depth(self) -> int:
        """Return the most questions from the root to a leaf."""
        check_is_fitted(self)
        depth = [0] * (2 * len(self.tree_.normals) + 1)
        for node, asks in enumerate(self.tree_.asks):
            depth[2 * node + 1] = depth[2 * node + 2] = depth[node] + int(asks)
        return max(depth)

    def get_n_leaves(self) -> int:
        """Return the number of leaves: one more than the questions."""
        check_is_fitted(self)
        return int(self.tree_.asks.sum()) + 1

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
        tree, names, classes = self._named(feature_names, class_names, standardize)
        return tree.to_text(names, terms, class_names=classes, decimals=decimals)

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
        tree, names, classes = self._named(feature_names, class_names, True)
        codes = None
        if X is not None:
            X = (self._rows(X) - self.mean_) / self.deviation_
            codes = np.searchsorted(self.classes_, np.asarray(y))
        return plots.plot_tree(tree, X, codes, names, terms, classes)

    def _named(
        self,
        feature_names: Sequence[str] | None,
        class_names: Sequence[Any] | None,
        standardize: bool,
    ) -> tuple[ObliqueTree, Sequence[str] | None, Sequence[Any]]:
        check_is_fitted(self)
        if feature_names is None:
            feature_names = getattr(self, "feature_names_in_", None)
        names = list(self.classes_ if class_names is None else class_names)
        if len(names) != len(self.classes_):
            raise ValueError(
                f"`class_names` must hold {len(self.classes_)} names. "
                f"Received: {len(names)} names."
            )
        tree = self.tree_
        if standardize:
            tree = tree.rescaled(self.deviation_, self.mean_)
        return tree, feature_names, names

    # -- fitting -------------------------------------------------------------

    def _check(self) -> None:
        check_count("max_depth", self.max_depth)
        if self.refine:
            check_count("refine", self.refine)
        if self.max_depth > MAX_DEPTH:
            raise ValueError(
                f"`max_depth` must be at most {MAX_DEPTH}. "
                f"Received: max_depth={self.max_depth}."
            )
        if not self.strength > 0:
            raise ValueError(
                f"`strength` must be above 0. Received: strength={self.strength}."
            )
        check_count("n_init", self.n_init)
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                "`validation_fraction` must be above 0 and below 1. Received: "
                f"validation_fraction={self.validation_fraction!r}."
            )
        net = self.estimator
        if net is not None and not (
            isinstance(net, DLGNClassifier) and net.family == "dlgn"
        ):
            raise ValueError(
                "`estimator` must be a DLGNClassifier of family 'dlgn'. "
                f"Received: estimator={net!r}."
            )

    def _candidate(
        self,
        rows: Rows,
        judging: Rows,
        mean: np.ndarray,
        deviation: np.ndarray,
        seed: int,
    ) -> Candidate:
        """Train a network; return its tree, refitted and pruned."""
        network = _default(len(rows.y)) if self.estimator is None else self.estimator
        network = clone(network).set_params(random_state=seed)
        network.fit(rows.x, rows.y, rows.weights)
        tree = oblique_tree(
            network.model_,
            as_float32(rows.x),
            rows.y,
            self.max_depth,
            choose="fit",
            eps=self.eps,
            min_samples_leaf=self.min_samples_leaf,
            sample_weight=rows.weights,
        ).rescaled(deviation, mean)
        if self.refine:
            tree = self._refined(tree, rows)
        if self.prune:
            weights = rows.weights, judging.weights
            tree = prune_tree(tree, rows.z, rows.y, judging.z, judging.y, *weights)
        hits = tree.predict(judging.z) == judging.y
        score = float(np.average(hits, weights=judging.weights))
        return Candidate(score, tree, network)

    def _refined(self, tree: ObliqueTree, rows: Rows) -> ObliqueTree:
        return refine_tree(
            tree, rows.z, rows.y, self.refine, self.strength, rows.weights
        )

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=np.float64)


def enough_steps(number: int) -> dict[str, Any]:
    """Return a batch size, and epochs for at least 2,000 steps on some rows."""
    batch_size = int(np.clip(number // 10, *BATCH))
    epochs = max(FEWEST_EPOCHS, -(-FEWEST_STEPS // -(-number // batch_size)))
    return {"batch_size": batch_size, "epochs": epochs}


def _default(number: int) -> DLGNClassifier:
    """Return the network to train on a number of rows."""
    options: dict[str, Any] = {"shallow": True, "beta": 2.0, "label_smoothing": 0.1}
    return DLGNClassifier(4, 10, **options, **enough_steps(number))


def _held_out(y: np.ndarray, fraction: float, random: Any) -> np.ndarray:
    """Return whether each row is held out: a share of each class, rounded down."""
    held_out = np.zeros(len(y), bool)
    for label in range(int(y.max()) + 1):
        rows = random.permutation(np.flatnonzero(y == label))
        held_out[rows[: int(fraction * len(rows))]] = True
    return held_out


def _preference(candidate: Candidate) -> tuple[float, int]:
    """Return what the best candidate has most of: hits, then fewest questions."""
    return round(candidate.score, 9), -int(candidate.tree.asks.sum())


def shares_of(counts: np.ndarray) -> np.ndarray:
    """Return class frequencies at nodes and leaves; empty ones take their parent's."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1)
    for node in range(1, len(shares)):
        if not totals[node]:
            shares[node] = shares[(node - 1) // 2]
    return shares


def importances(
    tree: ObliqueTree, counts: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Return each feature's share of the decrease of Gini impurity."""
    found = np.zeros(tree.dim)
    impurity = counts.sum(axis=1) * (1 - (shares**2).sum(axis=1))
    for node in np.flatnonzero(tree.asks):
        gain = impurity[node] - impurity[2 * node + 1] - impurity[2 * node + 2]
        weights = np.abs(tree.normals[node])
        found += max(gain, 0) * weights / (weights.sum() or 1)
    return found / (found.sum() or 1)
