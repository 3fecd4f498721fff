"""Any functional Keras model as a gated pair: read, taken apart, built twice."""

from dlgn_keras.models.functional.graph import Graph, Step
from dlgn_keras.models.functional.reading import read
from dlgn_keras.models.functional.twin import DisentangledModel

__all__ = ["DisentangledModel", "Graph", "Step", "read"]
