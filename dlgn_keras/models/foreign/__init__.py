"""Any functional Keras model as a gated pair: read, taken apart, built twice."""

from dlgn_keras.models.foreign.reading import Graph, Step, read
from dlgn_keras.models.foreign.twin import DisentangledModel

__all__ = ["DisentangledModel", "Graph", "Step", "read"]
