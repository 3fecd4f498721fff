"""Training: recipes as data, runs that stop and resume, results on record.

Recipes and `evaluate` import without Keras; every other name on first use.
"""

from typing import TYPE_CHECKING

from dlgn_keras.data.scores import evaluate
from dlgn_keras.tools import lazy
from dlgn_keras.training.named import NAMED, named_fields, named_recipe
from dlgn_keras.training.recipe import Recipe

if TYPE_CHECKING:
    from dlgn_keras.training.building import build_model, load_trained
    from dlgn_keras.training.classifier import DLGNClassifier
    from dlgn_keras.training.fitting import fit, load_data
    from dlgn_keras.training.many import fit_many
    from dlgn_keras.training.regressor import DLGNRegressor
    from dlgn_keras.training.result import Result, environment
    from dlgn_keras.training.tree_nodes import node_trainer

__all__ = [
    "NAMED",
    "DLGNClassifier",
    "DLGNRegressor",
    "Recipe",
    "Result",
    "build_model",
    "environment",
    "evaluate",
    "fit",
    "fit_many",
    "load_data",
    "load_trained",
    "named_fields",
    "named_recipe",
    "node_trainer",
]

_HOMES = {
    "DLGNClassifier": "classifier",
    "DLGNRegressor": "regressor",
    "Result": "result",
    "build_model": "building",
    "environment": "result",
    "fit": "fitting",
    "fit_many": "many",
    "load_data": "fitting",
    "load_trained": "building",
    "node_trainer": "tree_nodes",
}
__getattr__, __dir__ = lazy.attach(__name__, __all__, _HOMES)
