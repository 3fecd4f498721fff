"""Skeletons: the stages of a network, as pure data.

skeleton = dk.skeletons.c4gap(width=64)
skeleton = Skeleton((Flatten(), Dense(32), Dense(32)), name="small")
Skeleton.from_json(skeleton.to_json()) == skeleton
"""

from dlgn_keras.skeletons.architectures import (
    ARCHITECTURES,
    c4gap,
    fc,
    gconv,
    parse,
    resnet,
    vconv,
    vgg16,
)
from dlgn_keras.skeletons.shapes import check_input_shape, gate_shapes, output_shapes
from dlgn_keras.skeletons.skeleton import Skeleton
from dlgn_keras.skeletons.stages import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Stage,
    walk,
)

__all__ = [
    "ARCHITECTURES",
    "AveragePool",
    "Conv",
    "Dense",
    "Flatten",
    "GlobalPool",
    "MaxPool",
    "Residual",
    "Skeleton",
    "Stage",
    "c4gap",
    "check_input_shape",
    "fc",
    "gate_shapes",
    "gconv",
    "output_shapes",
    "parse",
    "resnet",
    "vconv",
    "vgg16",
    "walk",
]
