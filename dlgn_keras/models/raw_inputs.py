"""Raw inputs in the wrong range: the mistake that no shape or type shows."""

import warnings
from typing import Any

import keras
import numpy as np


class ChecksRawInputs(keras.Model):
    """A Keras model that warns of raw inputs its preprocessing was not made for.

    Arrays given to the model, to `fit`, `evaluate` or `predict` are looked at;
    data sets and tensors pass, as they come piece by piece.
    """

    preprocessing: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_range(args[0] if args else None)
        return super().__call__(*args, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_range(x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_range(x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_range(x)
        return super().predict(x, *args, **kwargs)

    def _check_range(self, x: Any) -> None:
        if not isinstance(x, np.ndarray) or self.preprocessing is None:
            return
        problem = self.preprocessing.range_problem(x)
        if problem:
            warnings.warn(f"{self.name}: raw {problem}", stacklevel=3)
