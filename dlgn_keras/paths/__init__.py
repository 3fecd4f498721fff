"""Brute force over the paths of a small network: the slow truth of the library.

Every path is walked one by one in float64, for one example at a time, with no matrix
product. A network is a sequence of stages, arrays in Keras' layouts and without a
batch axis; its gates are passed apart, one array per `Gate` or `MaxPool` in order (a
residual body before its shortcut): skeleton + gates(x) + value weights. Members that
share all their weights (shared kernels, pooling) form one path, named by its *key*,
the weights along it:

    phi_x(key) = sum over members of x[source] * gates * pooling factors      (NPF)
    v(key) = product of the weights                                           (NPV)
    y_k(x) = sum_key phi_x(key) v(key)                                        (output)
    H(x, x') = sum_key phi_x(key) phi_x'(key)                                 (NPK)

The sums for output unit k run over the keys that end there. A bias or an offset starts
paths of its own from a constant 1 and is the first weight of their keys.

Reference: arXiv 2006.10529 (paths, NPF, NPV, NPK), arXiv 2110.03403 (gated networks).
"""

from dlgn_keras.paths.features import (
    Contributions,
    contributions,
    npf,
    npk,
    npv,
    output,
    terms,
)
from dlgn_keras.paths.stages import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    Gate,
    GlobalPool,
    MaxPool,
    Residual,
    Scale,
    Stage,
    SubNetwork,
    gate_shapes,
    sub_networks,
)
from dlgn_keras.paths.walk import (
    Path,
    Weight,
    count_paths,
    enumerate_paths,
)

__all__ = [
    "AveragePool",
    "Contributions",
    "Conv",
    "Dense",
    "Flatten",
    "Gate",
    "GlobalPool",
    "MaxPool",
    "Path",
    "Residual",
    "Scale",
    "Stage",
    "SubNetwork",
    "Weight",
    "contributions",
    "count_paths",
    "enumerate_paths",
    "gate_shapes",
    "npf",
    "npk",
    "npv",
    "output",
    "sub_networks",
    "terms",
]
