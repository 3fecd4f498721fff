"""Tiny skeletons of every kind, and live models of them, with few paths to walk.

A model is alive if some gates of every site are on and others off, and most examples
have contributions and logits of their own; test_tiny.py holds every kind to it. On a
dead one, whose gates close every path, any claim about contributions passes.
"""

import dataclasses

import numpy as np
import oracle
from keras import ops

import dlgn_keras as dk
from dlgn_keras import skeletons
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
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
    "resnet": (skeletons.resnet(8, (1, 2, 2)), (2, 2, 1)),
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
# Fields of stages beyond the usual: with every padding, in a block, in a row.
FIELDS = {
    "dilation": (
        Skeleton(
            (
                Conv(2, 2, padding="circular", dilation=2),
                Residual((Conv(2, 3, batch_norm=True, dilation=2),)),
                Conv(2, 2, padding="valid", dilation=3),
                GlobalPool(),
            )
        ),
        (4, 5, 1),
    ),
    "groups": (
        Skeleton(
            (
                Conv(2, 2, groups=2, batch_norm=True),
                Conv(4, 2, gated=False, padding="circular", groups=2),
                Conv(4, 1, groups=4),
                Residual((Conv(4, 2, gated=False, groups=2),)),
                AveragePool(2),
                Residual((Conv(4, 1, groups=2),), (Conv(4, 1, groups=4),), gated=False),
                Conv(2, 1, groups=2, gated=False),
                GlobalPool(),
            )
        ),
        (3, 2, 2),
    ),
    "groups_flat": (
        Skeleton((Conv(4, 2, groups=2), Conv(4, 2, groups=2), Flatten())),
        (3, 2),
    ),
    "max_pool": (
        Skeleton(
            (
                Conv(2, 2),
                MaxPool(2),
                Residual((Conv(2, 2), MaxPool(1)), (Conv(2, 1, gated=False),)),
                MaxPool(2),
                Flatten(),
            )
        ),
        (5, 4, 1),
    ),
    "max_pool_of_equals": (
        Skeleton((Conv(3, 1, gated=False), MaxPool(2), Conv(2, 2), GlobalPool())),
        (5, 2),
    ),
}
FAMILIES = tuple(dk.models.FAMILIES)
# Batch norm before anything tells examples of all-ones apart: refused by the models.
NO_ONES = ("fc_batch_norm", "dense_residual", "gconv_valid")
CLASSES = 2
OPEN = 0.7  # of the examples that every gate is set to let through
ALIVE = 0.65  # of the examples that some path is open for
DRAWS = 30


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
    """A live model of a family on a tiny skeleton, every variable off its start."""
    skeleton, shape = KINDS[kind] if isinstance(kind, str) else kind
    net = dk.models.FAMILIES[family](skeleton, shape, CLASSES, **options)
    shake(net)
    for draw in range(DRAWS):
        if options.get("shallow") or balanced(net):  # one that is no chain stays as is
            return net
        draw_kernels(net, draw)
    raise AssertionError(f"no live {family} of {skeleton.name!r} in {DRAWS} draws")


def balanced(net):
    """Shift gated units to be on for most examples; whether paths are open then.

    Paths are open if another input has other logits at the same gates.
    """
    size, rng = (32, *net.input_shape[1:]), np.random.default_rng(0)
    if net.preprocessing is not None and net.preprocessing.raw_range:
        x = rng.uniform(*net.preprocessing.raw_range, size)
    else:
        x = rng.normal(size=size)
    layers, gates = net.network_layers("gating"), {}
    ends = {
        stage.name: stage.body[-1] if isinstance(stage, Residual) else stage
        for stage in skeletons.walk(net.skeleton.stages)
    }

    def answer(name, q):
        if isinstance(ends[name], Dense | Conv):
            layer = layers[ends[name].name]
            norm = layer.batch_norm
            bias = layer.affine.bias if norm is None else norm.beta
            if bias is not None:
                shift = -np.quantile(q.reshape(-1, q.shape[-1]), 1 - OPEN, axis=0)
                bias.assign(ops.convert_to_numpy(bias) + shift)
                q = q + shift
        gates[name] = q > 0
        return q if net.family == "dlgn" else np.maximum(q, 0)

    parameters = net.parameters("gating")
    parameters.pop("logits", None)
    oracle.run(net.skeleton, parameters, oracle.network_input(net, x), answer)
    z = oracle.value_input(net, x)
    at_z, at_0 = (
        oracle.run(net.skeleton, net.parameters("value"), v, lambda n, q: q * gates[n])
        for v in (z, 0 * z)
    )
    change = np.abs(at_z - at_0).max(1)
    return (change > 1e-2 * change.max()).mean() >= ALIVE


def draw_kernels(net, seed):
    """Draw every kernel again, in part from what it is, of the same size."""
    rng = np.random.default_rng(seed)
    for variable in net.variables:
        if "kernel" in variable.path:
            value = ops.convert_to_numpy(variable)
            noise = rng.normal(size=value.shape) * value.std()
            variable.assign((value + noise) / np.sqrt(2))


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
