"""disentangle knows an activation by its values, however it is spelt."""

import functools

import foreign
import keras
import numpy as np
import pytest
import tiny
from keras import layers, ops
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras.models.foreign.activations import Piecewise, recognise

BACKEND = keras.backend.backend()
BOUNDS = np.array([-1.0, 0.0, 0.5, 1.0, -0.5, 2.0], "float32")


def native(name):
    """A function of the framework below Keras."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return getattr(tf.nn, name)
    if BACKEND == "jax":
        import jax

        return getattr(jax.nn, name)
    import torch

    return getattr(torch.nn.functional, name)


def double_relu(x):
    return 2 * ops.relu(x)


# Of x, (n, 6): the same in NumPy, gates of the sites in order.
SPELLINGS = {
    "relu": (
        lambda x: keras.activations.relu(x),
        lambda q: q.clip(0),
        [lambda q: q > 0],
    ),
    "relu, all numbers": (
        lambda x: keras.activations.relu(x, max_value=2.0, threshold=0.5),
        lambda q: np.where(q > 0.5, q.clip(None, 2), 0),
        [lambda q: (q > 0.5) & (q < 2), lambda q: q > 2],
    ),
    "relu, sloped": (
        lambda x: keras.activations.relu(x, negative_slope=0.25),
        lambda q: np.where(q > 0, q, q / 4),
        [lambda q: np.where(q > 0, 1, 0.25)],
    ),
    "native": (
        lambda x: layers.Activation(native("relu"))(x),
        lambda q: q.clip(0),
        [lambda q: q > 0],
    ),
    "maximum": (
        lambda x: ops.maximum(x, 0),
        lambda q: q.clip(0),
        [lambda q: q > 0],
    ),
    "maximum, turned": (
        lambda x: ops.maximum(0.5, x),
        lambda q: q.clip(0.5),
        [lambda q: q > 0.5],
    ),
    "maximum of an array": (
        lambda x: ops.maximum(x, BOUNDS),
        lambda q: np.maximum(q, BOUNDS),
        [lambda q: q > BOUNDS],
    ),
    "minimum": (
        lambda x: ops.minimum(x, 1.0),
        lambda q: q.clip(None, 1),
        [lambda q: q < 1],
    ),
    "minimum of an array": (
        lambda x: ops.minimum(BOUNDS, x),
        lambda q: np.minimum(q, BOUNDS),
        [lambda q: q < BOUNDS],
    ),
    "clip": (
        lambda x: ops.clip(x, 0, 6),
        lambda q: q.clip(0, 6),
        [lambda q: (q > 0) & (q < 6), lambda q: q > 6],
    ),
    "clip, shifted": (
        lambda x: ops.clip(x, -0.5, 1.5),
        lambda q: q.clip(-0.5, 1.5),
        [lambda q: (q > -0.5) & (q < 1.5), lambda q: q > 1.5],
    ),
    "hard_tanh": (
        lambda x: layers.Activation("hard_tanh")(x),
        lambda q: q.clip(-1, 1),
        [lambda q: (q > -1) & (q < 1), lambda q: q > 1],
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_has_the_gates_of_its_function(name, rng):
    make, function, gates = SPELLINGS[name]
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3, name="logits")(make(inputs)))
    x = 4 * rng.normal(size=(20, 6)).astype("float32")
    kernel, bias = model.get_layer("logits").get_weights()
    expected = function(x) @ kernel + bias
    twin = dk.disentangle(model)
    assert_close(tiny.forward(twin, x), expected)
    found = twin.gates(x)
    assert len(found) == len(gates)
    for array, gate in zip(found.values(), gates, strict=True):
        np.testing.assert_array_equal(array, gate(x).astype("float32"))
    explained = twin.explain(x, target=2)
    assert_close(explained.contributions.sum(1) + explained.bias, expected[:, 2])
    foreign.flip(twin.value_network)
    with pytest.raises(AssertionError):
        assert_close(tiny.forward(twin, x), expected)


# Of branches a, b, c: what is taken of them, and whether the largest is.
CHOICES = {
    "layer": (lambda *x: layers.Maximum()(list(x)), np.argmax),
    "smallest": (lambda *x: layers.Minimum()(list(x)), np.argmin),
    "along an axis": (lambda *x: ops.max(ops.stack(x, axis=1), axis=1), np.argmax),
    "amin": (lambda *x: ops.amin(ops.stack(x, axis=-1), axis=-1), np.argmin),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_maximum_of_branches_is_a_selection(name, rng):
    make, which = CHOICES[name]
    inputs = keras.Input((2, 2, 3))
    branches = [inputs[..., k] for k in range(3)]
    x = layers.Flatten()(make(*branches))
    model = keras.Model(inputs, layers.Dense(3, name="logits")(x))
    x = rng.normal(size=(9, 2, 2, 3)).astype("float32")
    twin = dk.disentangle(model)
    assert_close(tiny.forward(twin, x), foreign.logits(model, x))
    ((_, gates),) = twin.gates(x).items()
    assert gates.shape == (9, 4, 3)
    np.testing.assert_array_equal(gates.argmax(-1), which(x, -1).reshape(9, 4))
    np.testing.assert_array_equal(gates.sum(-1), 1)
    with pytest.warns(UserWarning, match="average pooling there"):
        dk.disentangle(model, "dlgn")
    foreign.flip(twin.value_network)
    with pytest.raises(AssertionError):
        assert_close(tiny.forward(twin, x), foreign.logits(model, x))


def test_two_branches_and_a_pooling_by_operations(rng):
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, data_format="channels_last")(inputs)
    x = ops.minimum(x, 0.5 - x)
    x = ops.max_pool(x, 2, 2, data_format="channels_last")
    x = ops.max(x, axis=[1, 2], keepdims=True)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    tiny.shake(model)
    x = foreign.examples(rng, model)
    twin = dk.disentangle(model)
    assert_close(tiny.forward(twin, x), foreign.logits(model, x))
    assert [s.kind for s in twin.source_graph.steps].count("pool") == 3


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("wrap", "label"),
    [
        (layers.Dense, "relu"),
        (lambda *a, **k: layers.TimeDistributed(layers.Dense(*a, **k)), "relu6"),
        (lambda *a, **k: layers.SpectralNormalization(layers.Dense(*a, **k)), "clip"),
    ],
)
def test_an_activation_is_split_off_its_layer_and_its_wrapper(wrap, label, fused, rng):
    activation = {"relu": native("relu"), "relu6": "relu6", "clip": "hard_tanh"}[label]
    inputs = keras.Input((4, 2))
    x = wrap(5, activation=activation if fused else None, name="dense")(inputs)
    if not fused:
        x = layers.Activation(activation)(x)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    tiny.shake(model)
    x = 6 * foreign.examples(rng, model)
    twin = dk.disentangle(model)
    assert_close(tiny.forward(twin, x), foreign.logits(model, x))
    if fused:
        name = model.layers[1].name
        assert f"{name}_{label}" in dict(twin.sites)


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "log_softmax", "native"])
def test_a_head_is_left_out_however_it_is_spelt(head, rng):
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, activation="relu")(inputs)
    if head == "native":
        head = "softmax" if BACKEND != "torch" else "sigmoid"
        out = layers.Dense(3, activation=native(head), name="last")(hidden)
    else:
        out = getattr(keras.activations, head)(layers.Dense(3, name="last")(hidden))
    model = keras.Model(inputs, out)
    tiny.shake(model)
    twin = dk.disentangle(model)
    assert twin.source_graph.head == head
    x = foreign.examples(rng, model)
    logits = tiny.forward(twin, x)
    assert_close(getattr(keras.activations, head)(logits), tiny.forward(model, x))
    assert np.abs(logits - tiny.forward(model, x)).max() > 0.1


def test_functions_are_known_by_their_values_alone():
    relu = keras.activations.relu
    for function, expected in (
        (functools.partial(relu, max_value=3.0), Piecewise(max_value=3.0)),
        (lambda x: ops.maximum(x, 0.2 * x), Piecewise(negative_slope=0.2)),
        (lambda x: ops.minimum(x, 2.0), Piecewise(offset=2.0, sign=-1.0)),
        (lambda x: ops.clip(x, -3, 1), Piecewise(max_value=4.0, offset=-3.0)),
        (lambda x: x, "linear"),
        (keras.activations.softmax, "softmax"),
        (ops.sigmoid, "sigmoid"),
    ):
        assert recognise(function) == expected
    for name in (
        "selu gelu silu softplus tanh mish hard_silu hard_sigmoid hard_shrink "
        "soft_shrink tanh_shrink softsign log_sigmoid sparse_plus sparse_sigmoid "
        "squareplus exponential"
    ).split():
        assert recognise(getattr(keras.activations, name)).function == name
    alphas = [
        recognise(lambda x, a=alpha: keras.activations.elu(x, alpha=a)).numbers["alpha"]
        for alpha in (1.0, 0.3)
    ]
    np.testing.assert_allclose(alphas, [1.0, 0.3], rtol=1e-6)
    for other in (
        double_relu,
        ops.zeros_like,
        ops.ones_like,
        ops.abs,
        ops.sign,
        ops.round,
        lambda x: ops.relu(x) + 1,
        lambda x: ops.relu(x) + 1e-6,
        lambda x: ops.softplus(x) + 1e-6,
        lambda x: x + 1e-6,
        lambda x: ops.relu(x[:, ::-1]),
        lambda x: ops.relu(x - ops.mean(x)),
        lambda x: ops.reshape(ops.relu(x), (-1, 1)),
        lambda x: x.nothing,
    ):
        assert recognise(other) is None
