"""ObliqueTreeEstimator: what trees of classes and of numbers share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from dlgn_keras.data import ObliqueTree
from dlgn_keras.data.routing import Routing
from dlgn_keras.interpret import oblique_tree, plots, prune_tree, refine_tree
from dlgn_keras.interpret.trees.leaves import best, losses, node_values
from dlgn_keras.tools.messages import check_count
from dlgn_keras.training import DLGNClassifier, DLGNRegressor
from dlgn_keras.training.rows import as_float32

MAX_DEPTH = 16
DEPTHS = (2, 4, 6, 8)  # tried if none is given
FAR = 100  # deviations from 0 beyond which a feature's mean is subtracted
FEWEST_STEPS, FEWEST_EPOCHS, BATCH = 2000, 100, (16, 200)

Network = DLGNClassifier | DLGNRegressor


class Rows(NamedTuple):
    """Rows of a table: raw and standardized, class numbers or floats, and weights."""

    x: np.ndarray
    z: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def take(self, chosen: np.ndarray) -> "Rows":
        return Rows(*(part[chosen] for part in self))


class Candidate(NamedTuple):
    """A tree of standardized features, its network, and its score on other rows."""

    score: float
    tree: ObliqueTree
    network: Network


class ObliqueTreeEstimator(BaseEstimator):
    """Fit, read and follow the tree; what its leaves predict is left to subclasses."""

    _network: type  # that the tree is read off

    def __init__(
        self,
        max_depth: int | None = 6,
        *,
        estimator: Any = None,
        n_init: int = 1,
        refine: int = 10,
        strength: float = 1.0,
        prune: bool = True,
        validation_fraction: float = 0.2,
        min_samples_leaf: int = 5,
        eps: float = 0.2,
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
        self.random_state = random_state
        self.n_jobs = n_jobs

    # -- predictions ---------------------------------------------------------

    def apply(self, X: Any) -> np.ndarray:
        """Return the number of each row's leaf, (n,), which follow the nodes'."""
        return self._leaf(X) + len(self.tree_.normals)

    def decision_path(self, X: Any) -> csr_matrix:
        """Return the nodes that each row meets, and its leaf, as a sparse indicator.

        Returns:
            (n, nodes + leaves) of 0 and 1; node i has the children 2 i + 1 ("no")
            and 2 i + 2 ("yes"). Nodes that ask nothing are left out.
        """
        leaves, nodes = self._leaf(X), len(self.tree_.normals)
        ways = self.tree_.above(leaves)
        asked = np.column_stack([self.tree_.asks[ways], np.ones(len(ways), bool)])
        ways = np.column_stack([ways, leaves + nodes])
        starts = np.append(0, asked.sum(axis=1).cumsum())
        met = ways[asked]
        shape = (len(ways), 2 * nodes + 1)
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
        *,
        standardize: bool = True,
        terms: int | None = None,
        decimals: int = 2,
    ) -> str:
        """Return the tree as text, one line a node, each below its parent.

        Args:
            feature_names: default the columns of a DataFrame, or "x0", "x1", ...
            standardize: whether features are written in standard deviations from
                their means, so that weights compare; False writes raw features.
            terms: number of features to write per node, the largest weights first;
                None writes all.
            decimals: digits after the point. Weights have length 1.
        """
        return self._text(feature_names, standardize, terms, decimals)

    def _text(
        self,
        names: Sequence[str] | None,
        standardize: bool,
        terms: int | None,
        decimals: int,
        classes: Sequence[Any] | None = None,
    ) -> str:
        tree = self._shown(standardize)
        names = self._names(names)
        return tree.to_text(names, terms, class_names=classes, decimals=decimals)

    def _drawing(
        self,
        X: Any,
        codes: Any,
        names: Sequence[str] | None,
        terms: int,
        classes: Sequence[Any] | None = None,
    ) -> Any:
        tree = self._shown(True)
        if X is not None:
            X = (self._rows(X) - self.mean_) / self.deviation_
        return plots.plot_tree(tree, X, codes, self._names(names), terms, classes)

    def _shown(self, standardize: bool) -> ObliqueTree:
        check_is_fitted(self)
        if not standardize:
            return self.tree_
        return self.tree_.rescaled(self.deviation_, self.mean_)

    def _names(self, names: Sequence[str] | None) -> Sequence[str] | None:
        return getattr(self, "feature_names_in_", None) if names is None else names

    # -- fitting -------------------------------------------------------------

    def _default(self, number: int) -> Network:
        """Return the network to train on a number of rows."""
        raise NotImplementedError

    def _leaves(
        self, tree: ObliqueTree, rows: Rows
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the leaves' labels and values, and (nodes + leaves,) impurities."""
        raise NotImplementedError

    def _fit_tree(
        self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, strata: np.ndarray
    ) -> None:
        """Fit rows of weights above 0; equal shares of each stratum are held out."""
        as_float32(X)  # refuses what a network cannot hold
        mean, deviation = X.mean(axis=0), X.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        rows = Rows(X, (X - mean) / deviation, y, weights)

        random = check_random_state(self.random_state)
        held_out = _held_out(strata, self.validation_fraction, random)
        judging = rows.take(held_out if held_out.any() else ~held_out)
        seeds = random.randint(2**31 - 1, size=self.n_init)
        run = delayed(self._candidate)
        found = Parallel(n_jobs=self.n_jobs)(
            run(rows.take(~held_out), judging, mean, deviation, int(seed))
            for seed in seeds
        )
        chosen = max(found, key=_preference)

        tree = self._refined(chosen.tree, rows)
        labels, self.value_, impurities = self._leaves(tree, rows)
        tree = ObliqueTree(tree.normals, tree.biases, labels)
        self.feature_importances_ = importances(tree, impurities)
        self.mean_, self.deviation_ = mean, deviation
        self.tree_ = tree.rescaled(1 / deviation, -mean / deviation)
        # float32 holds too few digits of what is far from 0.
        origin = mean if (np.abs(mean) > FAR * deviation).any() else None
        planes = self.tree_.normals, self.tree_.biases
        self._routing = Routing(*planes, origin, np.float32)
        self.network_, self.validation_score_ = chosen.network, chosen.score

    def _check(self) -> None:
        if self.max_depth is not None:
            check_count("max_depth", self.max_depth)
            if self.max_depth > MAX_DEPTH:
                raise ValueError(
                    f"`max_depth` must be at most {MAX_DEPTH}. "
                    f"Received: max_depth={self.max_depth}."
                )
        if self.refine:
            check_count("refine", self.refine)
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
            isinstance(net, self._network) and net.family == "dlgn"
        ):
            raise ValueError(
                f"`estimator` must be a {self._network.__name__} of family 'dlgn'. "
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
        """Train a network; return its best tree, refitted and pruned."""
        network = self.estimator
        if network is None:
            network = self._default(len(rows.y))
        network = clone(network).set_params(random_state=seed)
        network.fit(rows.x, rows.y, rows.weights)
        depths = DEPTHS if self.max_depth is None else (self.max_depth,)
        whole = oblique_tree(
            network.model_,
            as_float32(rows.x),
            rows.y,
            depths[-1],
            choose="fit",
            eps=self.eps,
            min_samples_leaf=self.min_samples_leaf,
            sample_weight=rows.weights,
        ).rescaled(deviation, mean)
        values = node_values(whole, rows.z, rows.y, rows.weights)
        found = []
        for depth in depths:
            tree = self._refined(whole.cut(depth, values), rows)
            if self.prune:
                parts = rows.z, rows.y, judging.z, judging.y
                tree = prune_tree(tree, *parts, rows.weights, judging.weights)
            found.append(Candidate(_score(tree, judging), tree, network))
        return max(found, key=_preference)

    def _refined(self, tree: ObliqueTree, rows: Rows) -> ObliqueTree:
        """Return the tree with nodes, if asked, and leaves fitted to rows."""
        data = rows.z, rows.y
        if self.refine:
            return refine_tree(tree, *data, self.refine, self.strength, rows.weights)
        return tree.cut(tree.depth, node_values(tree, *data, rows.weights))

    def _leaf(self, X: Any) -> np.ndarray:
        """Return the leaf of each row, by products in float32."""
        rows = self._rows(X)  # refuses if nothing is fitted
        return self._routing.leaf(rows)

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=np.float64)


def enough_steps(number: int) -> dict[str, Any]:
    """Return a batch size, and epochs for at least 2,000 steps on some rows."""
    batch_size = int(np.clip(number // 10, *BATCH))
    epochs = max(FEWEST_EPOCHS, -(-FEWEST_STEPS // -(-number // batch_size)))
    return {"batch_size": batch_size, "epochs": epochs}


def _held_out(strata: np.ndarray, fraction: float, random: Any) -> np.ndarray:
    """Return whether each row is held out: a share of each group, rounded down."""
    held_out = np.zeros(len(strata), bool)
    for group in np.unique(strata):
        rows = random.permutation(np.flatnonzero(strata == group))
        held_out[rows[: int(fraction * len(rows))]] = True
    return held_out


def _score(tree: ObliqueTree, rows: Rows) -> float:
    """Return the weighted accuracy, or R^2, on rows."""
    cost = rows.weights @ losses(tree.predict(rows.z), rows.y)
    worst = rows.weights.sum()
    if rows.y.dtype.kind == "f":
        worst = rows.weights @ losses(best(rows.y, rows.weights), rows.y)
    return float(1 - cost / (worst or 1))


def _preference(candidate: Candidate) -> tuple[float, int]:
    """Return what the best candidate has most of: score, then fewest questions."""
    return round(candidate.score, 9), -int(candidate.tree.asks.sum())


def importances(tree: ObliqueTree, impurity: np.ndarray) -> np.ndarray:
    """Return each feature's share of the decrease of impurity.

    Args:
        tree: of standardized features.
        impurity: (nodes + leaves,) sums of weights times impurities.
    """
    found = np.zeros(tree.dim)
    for node in np.flatnonzero(tree.asks):
        gain = impurity[node] - impurity[2 * node + 1] - impurity[2 * node + 2]
        weights = np.abs(tree.normals[node])
        found += max(gain, 0) * weights / (weights.sum() or 1)
    return found / (found.sum() or 1)
