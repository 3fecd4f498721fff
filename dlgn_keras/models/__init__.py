"""Models: DNN, DGN and DLGN from any skeleton."""

from dlgn_keras.models.affine import (
    AffineMap,
    Folded,
    affine_gates,
    collapse,
    compose,
    fold,
)
from dlgn_keras.models.base import BaseModel, GatedModel, Site
from dlgn_keras.models.builder import Network, value_model
from dlgn_keras.models.disentangle import copy_network, disentangle
from dlgn_keras.models.families import DGN, DLGN, DNN, FAMILIES
from dlgn_keras.models.foreign import DisentangledModel
from dlgn_keras.models.foreign.to_skeleton import as_gated_model
from dlgn_keras.models.inputs import check_inputs, predict_arrays
from dlgn_keras.models.kept import KeptModel
from dlgn_keras.models.shallow import shallow_skeletons

__all__ = [
    "DGN",
    "DLGN",
    "DNN",
    "FAMILIES",
    "AffineMap",
    "BaseModel",
    "DisentangledModel",
    "Folded",
    "GatedModel",
    "KeptModel",
    "Network",
    "Site",
    "affine_gates",
    "as_gated_model",
    "check_inputs",
    "collapse",
    "compose",
    "copy_network",
    "disentangle",
    "fold",
    "predict_arrays",
    "shallow_skeletons",
    "value_model",
]
