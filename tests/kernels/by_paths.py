"""Grams by walking every path: what the kernels are held to."""

import dataclasses

import numpy as np
import oracle

from dlgn_keras import paths


def features(net, x, mode=None, made=None, bias_paths=True, max_paths=10**5):
    """[{key: phi_x(key)}] of the first logit, one for each example."""
    network = oracle.stages(net)
    if not bias_paths:
        network = without_biases(network)
    gates = oracle.gates(net, x, mode, made)
    pairs = zip(oracle.value_input(net, x), gates, strict=True)
    return [paths.npf(network, z, g, 0, max_paths) for z, g in pairs]


def without_biases(network):
    plain = []
    for stage in network:
        if isinstance(stage, paths.Residual):
            body, shortcut = map(without_biases, (stage.body, stage.shortcut))
            stage = paths.Residual(body, shortcut)
        elif isinstance(stage, paths.Dense | paths.Conv):
            stage = dataclasses.replace(stage, bias=None)
        elif isinstance(stage, paths.Scale):
            stage = dataclasses.replace(stage, offset=None)
        plain.append(stage)
    return plain


def gram(left, right=None):
    """Inner products of path features."""
    right = left if right is None else right
    return np.array([[sum(a[key] * b[key] for key in a) for b in right] for a in left])
