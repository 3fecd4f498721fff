"""Deep gated and deep linearly gated networks for Keras 3."""

# isort: off
from dlgn_keras.launch import choose_backend, import_keras_quietly

choose_backend()  # before anything imports Keras
import_keras_quietly()
# isort: on

from dlgn_keras import (
    data,
    experiments,
    gates,
    interpret,
    kernels,
    layers,
    models,
    paths,
    skeletons,
    training,
    tuning,
)
from dlgn_keras.models import DGN, DLGN, DNN, GatedModel, collapse, disentangle
from dlgn_keras.presets import from_preset, presets
from dlgn_keras.training import DLGNClassifier
from dlgn_keras.version import __version__

__all__ = [
    "DGN",
    "DLGN",
    "DNN",
    "DLGNClassifier",
    "GatedModel",
    "__version__",
    "collapse",
    "data",
    "disentangle",
    "experiments",
    "from_preset",
    "gates",
    "interpret",
    "kernels",
    "layers",
    "models",
    "paths",
    "presets",
    "skeletons",
    "training",
    "tuning",
]
