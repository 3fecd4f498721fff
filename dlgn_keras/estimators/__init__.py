"""Estimators of scikit-learn that both train networks and read them."""

from typing import TYPE_CHECKING

from dlgn_keras.tools import lazy

if TYPE_CHECKING:
    from dlgn_keras.estimators.tree import DLGNTreeClassifier
    from dlgn_keras.estimators.tree_regressor import DLGNTreeRegressor

__all__ = ["DLGNTreeClassifier", "DLGNTreeRegressor"]

_HOMES = {"DLGNTreeClassifier": "tree", "DLGNTreeRegressor": "tree_regressor"}

__getattr__, __dir__ = lazy.attach(__name__, __all__, _HOMES)
