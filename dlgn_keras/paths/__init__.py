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

from dlgn_keras.paths.features import Contributions as Contributions
from dlgn_keras.paths.features import contributions as contributions
from dlgn_keras.paths.features import npf as npf
from dlgn_keras.paths.features import npk as npk
from dlgn_keras.paths.features import npv as npv
from dlgn_keras.paths.features import output as output
from dlgn_keras.paths.placing import gate_shapes as gate_shapes
from dlgn_keras.paths.stages import AveragePool as AveragePool
from dlgn_keras.paths.stages import Conv as Conv
from dlgn_keras.paths.stages import Dense as Dense
from dlgn_keras.paths.stages import Flatten as Flatten
from dlgn_keras.paths.stages import Gate as Gate
from dlgn_keras.paths.stages import GlobalPool as GlobalPool
from dlgn_keras.paths.stages import MaxPool as MaxPool
from dlgn_keras.paths.stages import Residual as Residual
from dlgn_keras.paths.stages import Scale as Scale
from dlgn_keras.paths.stages import Stage as Stage
from dlgn_keras.paths.stages import SubNetwork as SubNetwork
from dlgn_keras.paths.stages import sub_networks as sub_networks
from dlgn_keras.paths.walk import Path as Path
from dlgn_keras.paths.walk import Weight as Weight
from dlgn_keras.paths.walk import count_paths as count_paths
from dlgn_keras.paths.walk import enumerate_paths as enumerate_paths
