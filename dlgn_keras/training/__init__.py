"""Training: recipes as data, runs that can be stopped and go on, results on record."""

from dlgn_keras.training.build import build_model, load_trained
from dlgn_keras.training.classifier import DLGNClassifier
from dlgn_keras.training.fit import evaluate, fit, load_data
from dlgn_keras.training.many import fit_many
from dlgn_keras.training.named import NAMED, named_fields, named_recipe
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.result import Result, environment

__all__ = [
    "NAMED",
    "DLGNClassifier",
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
]
