"""Tiny skeletons of every kind, and their models: few enough paths to walk them all."""

import dataclasses

import numpy as np
from keras import ops

import dlgn_keras as dk
from dlgn_keras import skeletons
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    Residual,
    Skeleton,
)
from dlgn_keras.skeletons.stages import rebuild

# kind -> (skeleton, input shape). Equal neighbouring widths allow a gate order.
KINDS = {
    "fc": (skeletons.fc(3, 3), (4,)),
    "fc_batch_norm": (skeletons.fc(2, 3, batch_norm=True), (2, 2, 1)),
    "vconv": (skeletons.vconv((2, 2), (3, 3)), (3, 2, 1)),
    "gconv": (skeletons.gconv((2, 2), (2,), padding="circular"), (3, 3, 1)),
    "gconv_valid": (skeletons.gconv((2, 2), (3,), "valid", True), (5, 5, 1)),
    "c4gap": (skeletons.c4gap(2, depth=3), (2, 2, 2)),
    "vgg16": (skeletons.vgg16((2, 2), (1, 1)), (4, 4, 1)),
    "resnet": (skeletons.resnet(8, (2, 1, 1)), (2, 2, 1)),
    "sequence": (
        Skeleton((Conv(2, 3, 2), Conv(2), AveragePool(), Flatten()), "sequence"),
        (8, 2),
    ),
    "dense_residual": (
        Skeleton(
            (
                Dense(3, batch_norm=True),
                Residual((Dense(3), Dense(3, gated=False))),
                Residual((Dense(2),), (Dense(2, gated=False),), gated=False),
                Dense(3),
            ),
            "dense_residual",
        ),
        (3,),
    ),
    "ungated": (
        Skeleton(
            (Conv(2, 2, padding="valid"), Conv(1, gated=False), GlobalPool(), Dense(2)),
            "ungated",
        ),
        (3, 4, 1),
    ),
}
MAX_POOL = (skeletons.vgg16((2, 2), (1, 1), pooling="max"), (4, 4, 1))
FAMILIES = tuple(dk.models.FAMILIES)
# Batch norm before anything tells examples of all-ones apart: refused by the models.
NO_ONES = ("fc_batch_norm", "dense_residual", "gconv_valid")
CLASSES = 2


def wider(kind, factor=4):
    """The kind with more units: no layer of these is ever switched off as a whole."""
    skeleton, shape = KINDS[kind]

    def widen(stage):
        if isinstance(stage, Dense):
            return dataclasses.replace(stage, units=factor * stage.units)
        if isinstance(stage, Conv):
            return dataclasses.replace(stage, filters=factor * stage.filters)
        return stage

    return Skeleton(rebuild(skeleton.stages, widen), skeleton.name), shape


def value_input(kind, number):
    """The input and all ones in turn, where the kind can do with both."""
    return "input" if kind in NO_ONES else ("input", "ones")[number % 2]


def build(family, kind, **options):
    """A model of a family on a tiny skeleton, every variable off its initial value."""
    skeleton, shape = KINDS[kind] if isinstance(kind, str) else kind
    net = dk.models.FAMILIES[family](skeleton, shape, CLASSES, **options)
    shake(net)
    return net


def shake(net, scale=0.3, seed=1):
    """Move biases and batch norm's numbers too: at their start they hide mistakes."""
    rng = np.random.default_rng(seed)
    for variable in net.variables:
        if "kernel" in variable.path or "seed" in variable.path:
            continue
        value = np.asarray(ops.convert_to_numpy(variable))
        noise = rng.normal(size=value.shape) * scale
        is_variance = "variance" in variable.path or "gamma" in variable.path
        variable.assign(value * np.exp(noise) if is_variance else value + noise)


def forward(net, x):
    """Logits by an eager call: nothing is compiled."""
    logits = net(ops.convert_to_tensor(x), training=False)
    return np.asarray(ops.convert_to_numpy(logits))


def value_forward(net, z, gates):
    """The value network's logits for gates {site: array}, by an eager call."""
    tensors = {site: ops.convert_to_tensor(gate) for site, gate in gates.items()}
    logits = net.value_network([ops.convert_to_tensor(z), tensors], training=False)
    return np.asarray(ops.convert_to_numpy(logits))


def examples(rng, kind, number=3):
    """Inputs for a kind of tiny skeleton, float32."""
    shape = KINDS[kind][1] if isinstance(kind, str) else kind[1]
    return rng.normal(size=(number, *shape)).astype("float32")
