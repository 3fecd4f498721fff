"""PiecewiseGate: the Keras contract, and Keras' own activations out of gates."""

import keras
import numpy as np
import pytest
from contracts import check_layer, to_numpy
from keras import ops
from tolerances import assert_close

from dlgn_keras.layers import PiecewiseGate

SIGMOID = {"soft": lambda q: 1 / (1 + np.exp(-3 * q)), "hard": lambda q: 1.0 * (q > 0)}


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"negative_slope": 0.2, "mode": "soft", "beta": 3.0}, 0),
        ({"threshold": 0.5, "mode": "hard"}, 0),
        ({"slope_shape": (1, 3), "negative_slope": 0.1, "mode": "straight_through"}, 3),
    ],
)
def test_piecewise_gate_keeps_the_keras_contract(options, weights, rng, tmp_path):
    def formula(layer, inputs):
        slope, mode = options.get("negative_slope", 0.0), options["mode"]
        if layer.slope is not None:
            slope = to_numpy(layer.slope)
        on = SIGMOID["soft" if mode == "soft" else "hard"](
            inputs[0] - options.get("threshold", 0.0)
        )
        return slope + (1 - slope) * on

    check_layer(
        PiecewiseGate,
        options,
        (4, 5, 3),
        (4, 5, 3),
        trainable=weights,
        rng=rng,
        folder=tmp_path,
        reference=formula,
    )


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.ReLU(max_value=6.0),
        keras.layers.ReLU(max_value=2.0, negative_slope=0.3),
        keras.layers.ReLU(threshold=0.7, max_value=3.0),
        keras.layers.LeakyReLU(0.2),
        keras.layers.PReLU(alpha_initializer=keras.initializers.RandomUniform(-1, 1)),
    ],
)
def test_hard_gates_make_keras_own_activations_and_others_do_not(layer, rng):
    q = 4 * rng.normal(size=(50, 3)).astype("float32")
    expected = to_numpy(layer(ops.convert_to_tensor(q)))
    names = ("negative_slope", "max_value", "threshold")
    numbers = {k: v for k, v in layer.get_config().items() if k in names}
    learnt = isinstance(layer, keras.layers.PReLU)
    gate = PiecewiseGate(slope_shape=(3,) if learnt else None, **numbers)
    made = gate(ops.convert_to_tensor(q))
    if learnt:
        gate.set_weights(layer.get_weights())
        made = gate(ops.convert_to_tensor(q))
    gates, saturated = made if isinstance(made, list) else (made, 0.0)

    def out(gates):
        return q * to_numpy(gates) + numbers.get("max_value", 0.0) * saturated

    saturated = to_numpy(saturated)
    assert_close(out(gates), expected)
    with pytest.raises(AssertionError):  # broken twin: another gate
        assert_close(out(ops.abs(gates - 0.5)), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negative_slope": -0.1}, "`negative_slope` must be a finite number from 0"),
        ({"threshold": 1.0, "negative_slope": 0.1}, "`threshold` must be 0, or above"),
        ({"threshold": 1.0, "max_value": 1.0}, "`max_value` must be .* above the thr"),
        ({"mode": "sof"}, "`gate` must be one of"),
        ({"beta": 0}, "`beta` must be a finite number above 0"),
    ],
)
def test_numbers_out_of_range_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        PiecewiseGate(**options)
