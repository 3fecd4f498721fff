"""What lies near a ReLU network: distributed, maxima, norms of weights, resizing."""

import foreign
import keras
import pytest
import tiny
from keras import layers
from tolerances import assert_close, distance

import dlgn_keras as dk

LAST = {"data_format": "channels_last"}


def distributed(x):
    x = layers.TimeDistributed(layers.Dense(4, activation="relu"))(x)
    return layers.Flatten()(layers.TimeDistributed(layers.Dense(2))(x))


def frames(x):
    conv = layers.Conv2D(2, 3, activation="relu", **LAST)
    x = layers.TimeDistributed(conv)(layers.Reshape((2, 6, 5, 1))(x))
    return layers.Flatten()(x)


def extreme(cls):
    def body(x):
        x = layers.Flatten()(x)
        return cls()([layers.Dense(4)(x), layers.Dense(4)(x), layers.Dense(4)(x)])

    return body


def tanh(x):
    return layers.Dense(6, activation="hard_tanh")(layers.Flatten()(x))


def spectral(x):
    hidden = layers.Dense(4, activation="relu")
    return layers.SpectralNormalization(hidden)(layers.Flatten()(x))


def resized(x):
    x = layers.Conv2D(2, 3, activation="relu", **LAST)(layers.Reshape((6, 10, 1))(x))
    return layers.Flatten()(layers.Resizing(5, 7, **LAST)(x))


BODIES = {
    "distributed": distributed,
    "frames": frames,
    "maximum": extreme(layers.Maximum),
    "minimum": extreme(layers.Minimum),
    "tanh": tanh,
    "spectral": spectral,
    "resized": resized,
}


@pytest.mark.parametrize("name", BODIES)
def test_its_twin_has_its_outputs_and_rows_that_add_up(name, rng):
    inputs = keras.Input((12, 5))
    model = keras.Model(inputs, layers.Dense(3, name="logits")(BODIES[name](inputs)))
    tiny.shake(model)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model, 2)
    found = dk.interpret.explain(twin, x, 1)
    assert_close(found.logits, tiny.forward(model, x))
    z, gates = twin.value_inputs(x), twin.gates(x)
    whole = found.contributions.sum((1, 2)) + found.bias
    assert_close(whole, found.logits[:, 1])
    moved = z.copy()
    moved[:, 3, 2] = 0
    part = found.logits[:, 1] - tiny.value_forward(twin, moved, gates)[:, 1]
    assert_close(part, found.contributions[:, 3, 2])
    assert_close(twin.explain(x[1:], 1).contributions[0], found.contributions[1])
    foreign.flip(twin.value_network)
    assert distance(twin.explain(x, 1).logits, found.logits) > 1e-3
