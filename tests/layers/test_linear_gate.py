"""LinearGate: the Keras contract, the formula, and which gradients pass."""

import keras
import numpy as np
import oracle
import pytest
from contracts import EAGERLY, call, check_layer, moved, values
from tolerances import assert_close

from dlgn_keras.layers import LinearGate

MODES = ("hard", "soft", "straight_through")


@pytest.mark.parametrize(
    ("mode", "scale"), [("hard", 1.1), ("soft", 1.0), ("straight_through", 1.1)]
)
def test_linear_gate_keeps_the_keras_contract(mode, scale, rng, tmp_path):
    check_layer(
        LinearGate,
        {"beta": 3.0, "mode": mode, "scale": scale},
        (4, 5),
        (4, 5),
        trainable=0,
        rng=rng,
        folder=tmp_path,
        reference=lambda layer, x: oracle.gate(x[0], mode, 3.0, scale),
    )


@pytest.mark.parametrize("shape", [(3,), (3, 2, 5), (2, 3, 3, 4)])
def test_gates_have_the_shape_of_their_pre_activations(shape, rng):
    q = rng.normal(size=shape).astype("float32")
    layer = LinearGate(2.5)
    assert_close(call(layer, [q]), oracle.gate(q, "soft", 2.5))
    assert tuple(layer.compute_output_shape(shape)) == shape


@pytest.mark.parametrize("mode", MODES)
def test_only_a_hard_gate_keeps_gradients_from_the_gating_side(mode, rng):
    x = rng.normal(size=(16, 3)).astype("float32")
    inputs = keras.Input((3,))
    q = keras.layers.Dense(4, name="gating")(inputs)
    z = keras.layers.Dense(4, name="value")(inputs) * LinearGate(2.0, mode)(q)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(z))
    if mode == "hard":
        model.get_layer("gating").trainable = False  # as a recipe with hard gates does
    model.compile("sgd", "mse", run_eagerly=EAGERLY)
    before = values(model.weights)
    model.fit(x, rng.normal(size=(16, 1)), verbose=0)
    after = moved(before, values(model.weights))
    sides = {path.split("/")[0] for path in after}
    expected = {"value", "head"} | ({"gating"} if mode != "hard" else set())
    assert sides == expected


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_hard_gate_moves_nothing_even_where_the_gating_side_is_trainable(rng):
    inputs = keras.Input((3,))
    q = keras.layers.Dense(4, name="gating")(inputs)
    z = keras.layers.Dense(4)(inputs) * LinearGate(mode="hard")(q)
    model = keras.Model(inputs, z)
    model.compile("sgd", "mse", run_eagerly=EAGERLY)
    before = values(model.get_layer("gating").weights)
    x = rng.normal(size=(8, 3))
    model.fit(x, rng.normal(size=(8, 4)), verbose=0)
    assert not moved(before, values(model.get_layer("gating").weights))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mode": "sofft"}, "`gate` must be one of hard, soft.*'sofft'.*mean 'soft'"),
        ({"beta": 0}, "`beta` must be a finite number above 0. Received: beta=0"),
        ({"beta": -2.0}, "above 0. Received: beta=-2.0"),
        ({"beta": float("nan")}, "above 0. Received: beta=nan"),
        ({"beta": "4"}, "above 0. Received: beta='4'"),
        ({"scale": 0.0}, "`gate_scale` must be .* Received: gate_scale=0.0"),
    ],
)
def test_bad_arguments_are_told(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LinearGate(**kwargs)


def test_a_wrong_gate_formula_would_be_seen(rng):
    """Broken twin: another slope, or a gate that opens below zero."""
    q = rng.normal(size=(50,)).astype("float32")
    with pytest.raises(AssertionError):
        assert_close(call(LinearGate(4.0), [q]), oracle.gate(q, "soft", 3.0))
    with pytest.raises(AssertionError):
        assert_close(call(LinearGate(mode="hard"), [q]), oracle.gate(-q, "hard"))
    assert np.isin(call(LinearGate(mode="hard"), [q]), (0, 1)).all()
