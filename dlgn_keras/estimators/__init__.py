"""Estimators of scikit-learn that both train networks and read them."""

from typing import TYPE_CHECKING

from dlgn_keras.tools import lazy

if TYPE_CHECKING:
    from dlgn_keras.estimators.tree import DLGNTreeClassifier

__all__ = ["DLGNTreeClassifier"]

__getattr__, __dir__ = lazy.attach(__name__, __all__, {"DLGNTreeClassifier": "tree"})
