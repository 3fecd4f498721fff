"""What does not fit is named."""

import numpy as np
import pytest
from paths.networks import examples, make

from dlgn_keras import paths
from dlgn_keras.paths import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    Gate,
    MaxPool,
    Residual,
    Scale,
)

BAD = {
    "stage": (TypeError, "stages of this module.*'relu'", ["relu"], (2,)),
    "lone_stage": (TypeError, "`network` must be a sequence", Gate(), (2,)),
    "no_axis": (ValueError, "`input_shape` must hold", [Gate()], ()),
    "batch_axis": (ValueError, "whole numbers of at least 1", [Gate()], (None, 2)),
    "dense": (
        ValueError,
        r"`kernel` of stage 0.*\(2, 3\)",
        [Dense(np.ones((2, 3)))],
        (3,),
    ),
    "conv": (ValueError, "`kernel` of stage 0", [Conv(np.ones((3, 2, 2)))], (5, 3)),
    "conv_rank": (
        ValueError,
        "must have 4 axes",
        [Conv(np.ones((3, 2, 2)))],
        (5, 5, 2),
    ),
    "bias": (ValueError, "`bias` of stage 1", [Gate(), Dense(np.eye(2), [1.0])], (2,)),
    "scale": (ValueError, "`scale` of stage 0", [Scale(np.ones(3))], (4, 2)),
    "offset": (ValueError, "`offset` of stage 0", [Scale([1.0], [1.0, 2.0])], (1,)),
    "padding": (
        ValueError,
        "one of valid, same. Received: 'circular'",
        [AveragePool(2, padding="circular")],
        (4, 1),
    ),
    "strides": (ValueError, "`strides` of stage 0", [AveragePool(2, 0)], (4, 1)),
    "size": (ValueError, "`size` of stage 0", [MaxPool((2, 2))], (4, 1)),
    "too_large": (ValueError, r"fit into the image \(4,\)", [MaxPool(5)], (4, 1)),
    "vector": (ValueError, "image axes and channels", [AveragePool(2)], (4,)),
    "block": (
        ValueError,
        r"`shortcut` of stage 0 must end in \(3,\)",
        [Residual([Dense(np.ones((2, 3)))])],
        (2,),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_misfit_is_named(case):
    error, message, network, shape = BAD[case]
    for function in (paths.count_paths, paths.enumerate_paths, paths.gate_shapes):
        with pytest.raises(error, match=message):
            function(network, shape)


def test_bad_gates_and_targets_are_named():
    network, shape = make("fc")
    x, _, gates, _ = examples(network, shape)
    with pytest.raises(ValueError, match=r"each of the 1 sites\. Received: 2 arrays"):
        paths.output(network, x, gates * 2)
    with pytest.raises(ValueError, match=r"shape \(3,\) at site 0. .* \(2,\)"):
        paths.npf(network, x, [gates[0][:2]])
    for target in (2, -1, (0, 0)):
        with pytest.raises(ValueError, match="`target` must be the index"):
            paths.npf(network, x, gates, target)
    conv = [Conv(np.ones((2, 1, 1)), padding="same"), Flatten(), Gate()]
    with pytest.raises(ValueError, match="`x` and `y` must have one shape"):
        paths.npk(conv, np.ones((2, 1)), np.ones((1, 1)), [[1, 1]], [[1]])
