"""Keras layers of gated networks, each usable alone."""

from dlgn_keras.layers.channel_rescaling import ChannelRescaling
from dlgn_keras.layers.gated import Affine, Gated, GatedDense
from dlgn_keras.layers.gated_conv import GatedConv1D, GatedConv2D
from dlgn_keras.layers.gated_residual import GatedAdd, GatedResidualBlock
from dlgn_keras.layers.scale_norm import ScaleNorm
from dlgn_keras.layers.selection import SelectedPooling, SelectionGate
from dlgn_keras.layers.site_gates import (
    AppliedGate,
    LinearGate,
    PiecewiseGate,
    piecewise_problem,
)
from dlgn_keras.layers.smooth import (
    SMOOTH,
    Centred,
    NormGate,
    ScaleShift,
    SmoothGate,
)
from dlgn_keras.layers.value_tensor import ValueTensor

GatedConv = GatedConv2D

__all__ = [
    "SMOOTH",
    "Affine",
    "AppliedGate",
    "Centred",
    "ChannelRescaling",
    "Gated",
    "GatedAdd",
    "GatedConv",
    "GatedConv1D",
    "GatedConv2D",
    "GatedDense",
    "GatedResidualBlock",
    "LinearGate",
    "NormGate",
    "PiecewiseGate",
    "ScaleNorm",
    "ScaleShift",
    "SelectedPooling",
    "SelectionGate",
    "SmoothGate",
    "ValueTensor",
    "piecewise_problem",
]
