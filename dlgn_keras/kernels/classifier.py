"""NPKClassifier: a scikit-learn estimator on the path features of a trained model."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from dlgn_keras.kernels.features import path_features
from dlgn_keras.kernels.gram import npk, npk_diagonal
from dlgn_keras.kernels.tiles import check_examples
from dlgn_keras.tools.messages import check_choice

SOLVERS = ("ridge", "svm", "features")
SCALINGS = ("trace", "cosine")


class NPKClassifier(ClassifierMixin, BaseEstimator):
    """Classify with the neural path kernel of a model's gates.

    "ridge" and "svm" use exact Grams (n^2 entries); "features" fits a ridge regression
    on random path features, for tens of thousands of examples. Labels may be any
    values. Kernels are scaled to a mean diagonal of 1 (or each example to length 1),
    so that `alpha` and `C` mean the same for every width and depth.

    Args:
        net: a DNN, DGN or DLGN; its gates define the kernel.
        solver: "ridge", "svm" or "features".
        alpha: ridge penalty, in units of the mean diagonal.
        C: penalty of the SVM.
        scaling: "trace" (one factor) or "cosine" (each example to length 1).
        num_features: columns of the path features.
        seed: integer for the path features.
        bias_paths, mode: as in `npk`.
        progress: as in `npk`.

    Raises:
        ValueError: in `fit`, an argument out of range or fewer than two classes.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(20, 6)), np.repeat(["a", "b"], 10)
        >>> net = dk.DGN(dk.skeletons.fc(2, 16), (6,), num_classes=2)
        >>> dk.kernels.NPKClassifier(net, alpha=1e-6).fit(x, y).score(x, y)
        1.0

    Reference: arXiv 2006.10529, section 3 (the NPK of learnt gates).
    """

    def __init__(
        self,
        net: Any,
        solver: str = "ridge",
        alpha: float = 1e-3,
        C: float = 10.0,
        scaling: str = "trace",
        num_features: int = 2048,
        seed: int = 0,
        bias_paths: bool = True,
        mode: str | None = None,
        progress: bool | None = None,
    ) -> None:
        self.net = net
        self.solver = solver
        self.alpha = alpha
        self.C = C
        self.scaling = scaling
        self.num_features = num_features
        self.seed = seed
        self.bias_paths = bias_paths
        self.mode = mode
        self.progress = progress

    def fit(self, X: Any, y: Any) -> "NPKClassifier":
        """Learn from raw inputs (n, *input_shape) and labels (n,)."""
        check_choice("solver", self.solver, SOLVERS)
        check_choice("scaling", self.scaling, SCALINGS)
        X, y = check_examples(self.net, "X", X), np.asarray(y)
        if y.shape != X.shape[:1]:
            raise ValueError(
                f"`y` must hold {len(X)} labels. Received: y of shape {y.shape}."
            )
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"`y` must hold two classes at least. Received: {len(self.classes_)}."
            )
        targets = 2.0 * np.eye(len(self.classes_))[codes] - 1
        if self.solver == "features":
            features = self._features(X)
            self.scale_ = float(np.mean(np.sum(features**2, axis=1))) ** 0.5
            self.model_ = Ridge(self.alpha).fit(self._scaled(features), targets)
            return self
        self.x_ = X
        gram = np.array(npk(self.net, X, **self._options()))
        self.diagonal_ = np.diag(gram).copy()
        self.scale_ = float(np.mean(self.diagonal_))
        if not self.scale_ > 0:
            raise ValueError("`net` must let some path through on some example of X.")
        gram = self._normed(gram, self.diagonal_, self.diagonal_)
        if self.solver == "svm":
            self.model_ = SVC(C=self.C, kernel="precomputed").fit(gram, codes)
        else:
            ridge = KernelRidge(alpha=self.alpha, kernel="precomputed")
            self.model_ = ridge.fit(gram, targets)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores (n, classes); the predicted class has the largest."""
        check_is_fitted(self, "model_")
        X = check_examples(self.net, "X", X)
        if self.solver == "features":
            return self.model_.predict(self._scaled(self._features(X)))
        gram = np.array(npk(self.net, X, self.x_, **self._options()))
        own = None
        if self.scaling == "cosine":
            own = npk_diagonal(self.net, X, **self._options())
        gram = self._normed(gram, own, self.diagonal_)
        if self.solver == "ridge":
            return self.model_.predict(gram)
        scores = self.model_.decision_function(gram)
        return scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each example, (n,)."""
        return self.classes_[self.decision_function(X).argmax(1)]

    def _options(self) -> dict[str, Any]:
        return {
            "bias_paths": self.bias_paths,
            "mode": self.mode,
            "progress": self.progress,
        }

    def _features(self, X: np.ndarray) -> np.ndarray:
        number, seed = self.num_features, self.seed
        return path_features(self.net, X, number, seed, **self._options())

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        if self.scaling == "trace":
            return features / self.scale_
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        return features / np.where(lengths > 0, lengths, 1)

    def _normed(self, gram: np.ndarray, rows: Any, columns: np.ndarray) -> np.ndarray:
        if self.scaling == "trace":
            return gram / self.scale_
        # An example without an open path has kernel 0 with all others.
        lengths = np.sqrt(np.maximum(np.outer(rows, columns), 0))
        return gram / np.where(lengths > 0, lengths, 1)
