"""Any functional Keras model as a gated pair: read, taken apart, built twice."""

from dlgn_keras.models.foreign.checking import check_twin
from dlgn_keras.models.foreign.graph import Graph, Step
from dlgn_keras.models.foreign.reading import read
from dlgn_keras.models.foreign.twin import DisentangledModel

__all__ = ["DisentangledModel", "Graph", "Step", "check_twin", "read"]
