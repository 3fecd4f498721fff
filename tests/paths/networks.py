"""Named networks of every stage, with random weights, gates and examples."""

import numpy as np

from dlgn_keras import paths
from dlgn_keras.paths import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    Gate,
    GlobalPool,
    MaxPool,
    Residual,
    Scale,
)

CLOSE = {"rtol": 1e-11, "atol": 1e-11}  # float64 sums of up to 1e5 terms


def make(name, seed=0, width=3):
    """A named network with random weights, and its input shape."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal

    def block(channels, size=(), **options):
        layer = Conv if size else Dense
        return [
            layer(w((*size, channels, channels)), **options),
            Scale(w(channels)),
            Gate(),
            layer(w((*size, channels, channels)), **options),
        ]

    down = Conv(w((1, 1, 2, 2)), strides=2, padding="same")
    body = [Conv(w((3, 3, 2, 2)), w(2), 2, "same"), Gate()]
    networks = {
        "fc": ((4,), [Dense(w((4, width))), Gate(), Dense(w((width, 2)))]),
        "fc_bias": (
            (3,),
            [
                *(Dense(w((3, width)), w(width)), Gate()),
                *(Dense(w((width, width)), w(width)), Gate()),
                Dense(w((width, 2)), w(2)),
            ],
        ),
        "fc_each_position": ((2, 3), [Dense(w((3, 2))), Gate(), Flatten()]),
        "conv1d": (
            (5, 2),
            [
                *(Conv(w((2, 2, 2)), w(2), 2, "same"), Gate()),
                *(Conv(w((2, 2, 3)), padding="circular"), Gate()),
                *(Flatten(), Dense(w((9, 2)))),
            ],
        ),
        "conv_norm": (
            (4, 3, 2),
            [
                *(Conv(w((3, 2, 2, 2)), padding="same"), Scale(w(2), w(2)), Gate()),
                *(Conv(w((2, 2, 2, 2)), strides=(2, 1)), Scale(w(2), w(2)), Gate()),
                *(GlobalPool(), Dense(w((2, 2)), w(2))),
            ],
        ),
        "dilated": (
            (4, 5, 1),
            [
                Conv(w((2, 2, 1, 2)), w(2), padding="circular", dilation=2),
                *(Gate(), Conv(w((2, 3, 2, 2)), padding="same", dilation=2)),
                *(Gate(), Conv(w((2, 2, 2, 1)), dilation=3), Flatten()),
            ],
        ),
        "grouped": (
            (3, 4),
            [
                *(Conv(w((2, 2, 4)), w(4), padding="same", groups=2), Gate()),
                *(Conv(w((2, 1, 8)), padding="circular", groups=4), Gate()),
                *(Conv(w((1, 4, 4)), groups=2), GlobalPool(), Dense(w((4, 2)))),
            ],
        ),
        "pools": (
            (5, 4, 2),
            [
                *(Conv(w((2, 2, 2, 2)), padding="circular"), Gate(), AveragePool(2)),
                *(Conv(w((1, 2, 2, 2)), w(2), padding="same"), Gate()),
                *(MaxPool((2, 1), padding="same"), Flatten(), Dense(w((4, 2)))),
            ],
        ),
        "pools_overlap": (
            (5, 5, 1),
            [
                *(MaxPool(3, strides=2), Conv(w((1, 1, 1, 2))), Gate()),
                *(AveragePool((2, 3), strides=1, padding="same"), Gate(), Flatten()),
            ],
        ),
        "residual_fc": (
            (3,),
            [
                *(Dense(w((3, 3))), Gate(), Residual(block(3)), Gate()),
                *(Residual(block(3), [Dense(w((3, 3)))]), Gate(), Dense(w((3, 2)))),
            ],
        ),
        "residual_conv": (
            (3, 2),
            [
                Residual(block(2, (3,), padding="circular")),
                *(Gate(), Residual(block(2, (2,), padding="same")), Gate()),
                *(GlobalPool(), Dense(w((2, 2)))),
            ],
        ),
        "residual_nested": (
            (4, 4, 2),
            [
                Residual([Residual(body, [down]), Gate()], [AveragePool(2)]),
                *(Gate(), GlobalPool(), Residual([Dense(w((2, 2)), w(2))])),
            ],
        ),
    }
    input_shape, network = networks[name]
    return network, input_shape


NAMES = [
    *("fc", "fc_bias", "fc_each_position", "conv1d", "conv_norm", "pools", "dilated"),
    "grouped",
    *("pools_overlap", "residual_fc", "residual_conv", "residual_nested"),
]


def examples(network, input_shape, seed=1):
    """Two examples and two sets of real-valued gates."""
    rng = np.random.default_rng(seed)
    shapes = paths.gate_shapes(network, input_shape)
    x, y = rng.standard_normal((2, *input_shape))
    gates_x = [rng.standard_normal(shape) for shape in shapes]
    gates_y = [rng.standard_normal(shape) for shape in shapes]
    return x, y, gates_x, gates_y
