"""What disentangle cannot convert, named before anything is built."""

import foreign
import keras
import pytest
import tiny
from keras import layers

import dlgn_keras as dk
from dlgn_keras.models import DisentangledModel
from dlgn_keras.models.foreign import reading


class Own(layers.Layer):
    def call(self, x):
        return x * x


def refused():
    """Much that is no gated network, in one model."""
    inputs = keras.Input((6, 4))
    x = layers.Dense(4, activation="sparsemax", name="first")(inputs)
    x = layers.LSTM(4, return_sequences=True, name="recurrent")(x)
    x = layers.Lambda(lambda z: z * 2, name="code")(x)
    x = Own(name="square")(x)
    x = layers.Multiply(name="product")([x, inputs])
    x = layers.TimeDistributed(layers.UnitNormalization(), name="each")(x)
    x = layers.Multiply(name="two")([keras.ops.sigmoid(x), keras.ops.sigmoid(-x)])
    x = layers.Dense(3, activation="softmax", name="middle")(x)
    x = layers.RandomRotation(0.1, name="late")(x[..., None])
    return keras.Model(inputs, layers.Flatten()(x), name="wild")


def test_all_that_cannot_be_converted_is_named_before_anything_is_built(monkeypatch):
    model = refused()
    monkeypatch.setattr(reading, "NAMED", 99)
    monkeypatch.setattr(DisentangledModel, "__init__", None)
    with pytest.raises(ValueError, match="`model` 'wild' cannot be converted") as told:
        dk.disentangle(model)
    message = str(told.value)
    assert "\n" not in message
    for part in (
        "first (Dense) has the activation sparsemax, which has no gates",
        "recurrent (LSTM) does not apply its activation last: recurrent layers",
        "code (Lambda) holds code, of which nothing is known",
        "square_multiply (Multiply) is neither affine",
        "product (Multiply) multiplies or divides by a tensor of the network",
        "each (TimeDistributed) is neither affine",
        "and no branch of it ends in a bounded activation: name the gate",
        "and more than one branch of it ends in a bounded activation",
        "middle_softmax (softmax) is not the end of the model",
        "late (RandomRotation) must stand right behind the input",
    ):
        assert part in message


def odd():
    """More that is none, in ways that are rarer."""
    inputs = keras.Input((4,))
    x = layers.Dense(4, activation=layers.PReLU(), name="fused")(inputs)
    x = layers.ReLU(threshold=1.0, negative_slope=0.1, name="bent")(x)
    x = Subclassed(name="inner")(x)
    x = dk.layers.LinearGate(name="gate")(x)
    return keras.Model(inputs, layers.Dense(3)(x), name="odd")


def test_the_rarer_ones_are_named_too(monkeypatch):
    monkeypatch.setattr(reading, "NAMED", 99)
    with pytest.raises(ValueError, match="`model` 'odd' cannot be converted") as told:
        dk.disentangle(odd())
    message = str(told.value)
    for part in (
        "fused (Dense) has PReLU as its activation: call it on its own",
        "bent (ReLU) has no gates: `threshold` must be 0",
        "inner (Subclassed) is a subclassed model, its graph unknown",
        "gate (LinearGate) is gated already",
    ):
        assert part in message
    assert ".." not in message


def linear():
    return keras.Sequential([keras.Input((2,)), layers.Dense(2)], name="linear")


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "net", "functional or sequential Keras model.*str"),
        (Subclassed, "functional or sequential Keras model.*Subclassed"),
        (lambda: keras.Sequential([layers.Dense(2)]), "must be built: begin it with"),
        (linear, "must have a ReLU-like activation.*'linear'"),
        (lambda: tiny.build("dlgn", "fc"), "ReLU network.*DLGN 'dlgn', gated already"),
    ],
)
def test_what_is_no_relu_network_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        dk.disentangle(make())


def test_wrong_options_are_told():
    model = foreign.build("shared")
    for options, message in (
        ({"family": "dnn"}, "`family` must be one of dgn, dlgn"),
        ({"gate": "sof"}, "`gate` must be one of"),
        ({"beta": -1.0}, "`beta` must be a finite number above 0"),
        ({"shallow": True}, "has the options gate, beta.*shallow"),
        ({"value_input": "one"}, "`value_input` must be one of input, ones"),
    ):
        with pytest.raises(ValueError, match=message):
            dk.disentangle(model, **options)
