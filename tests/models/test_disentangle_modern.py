"""disentangle on modern blocks: smooth activations, norms, products, attention."""

import warnings

import foreign
import keras
import numpy as np
import pytest
import tiny
from keras import layers, ops
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras.interpret.sites import crossed_sites

LAST = {"data_format": "channels_last"}


def activations(x):
    x = layers.Dense(5, activation="silu")(layers.Flatten()(x))
    x = layers.Dense(5, activation=lambda q: q * ops.sigmoid(1.702 * q))(x)
    x = keras.activations.elu(layers.Dense(6, activation="gelu")(x), alpha=0.3)
    return keras.activations.glu(x) * ops.tanh(ops.softplus(x[:, :3]))


def norms(x):
    x = layers.LayerNormalization()(layers.Dense(8)(x))
    x = layers.RMSNormalization()(layers.GroupNormalization(2)(x))
    return layers.UnitNormalization()(layers.Dense(6)(x))


def excited(x):
    x = layers.Reshape((5, 6, 1))(x)
    x = layers.Conv2D(4, 2, activation="swish", **LAST)(x)
    s = layers.GlobalAveragePooling2D(keepdims=True, **LAST)(x)
    s = layers.Conv2D(2, 1, activation="relu", **LAST)(s)
    s = layers.Conv2D(4, 1, activation="sigmoid", **LAST)(s)
    return layers.Multiply(name="excite")([x, s])


def by_hand(x):
    q, k, v = (layers.Dense(4)(x) for _ in range(3))
    weights = layers.Softmax()(ops.einsum("btc,bsc->bts", q, k) / 2.0)
    return ops.einsum("bts,bsc->btc", layers.Dropout(0.1)(weights), v)


def encoder(x):
    x = layers.Dense(8)(x)
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 4, name="heads")(y, y, use_causal_mask=True)
    y = layers.Dense(12, activation="gelu")(layers.LayerNormalization()(x))
    return x + layers.Dense(8)(y)


def grouped(x):
    x = layers.Dense(4, activation="relu")(x)
    x = layers.GroupQueryAttention(2, 4, 2, dropout=0.1, name="heads")(x, x)
    return layers.Attention()([x, x])


def additive(x):
    x = layers.Dense(4)(x)
    x = x + layers.AdditiveAttention()([x, layers.Dense(4)(x)])
    concat = {"use_scale": True, "score_mode": "concat"}
    return layers.Attention(**concat)([x, layers.Dense(4, "relu")(x)])


def divided(x):
    x = layers.Dense(6)(x)
    size = ops.sqrt(ops.mean(x * x, axis=-1, keepdims=True) + 0.1)
    return ops.divide(x, size)


BODY = (activations, norms, excited, by_hand, encoder, grouped, additive, divided)
BODIES = {f.__name__: f for f in BODY}


def build(name):
    inputs = keras.Input((5, 6))
    x = layers.Flatten()(BODIES[name](inputs))
    model = keras.Model(inputs, layers.Dense(3, name="logits")(x))
    tiny.shake(model)
    return model


@pytest.mark.parametrize("name", BODIES)
def test_a_twin_has_the_outputs_and_rows_of_its_value_network(name, rng):
    model = build(name)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model, 3)
    found = twin.explain(x, 1)
    assert_close(found.logits, tiny.forward(model, x))
    whole = found.contributions.sum((1, 2)) + found.bias
    assert_close(whole, found.logits[:, 1])
    z, gates = twin.value_inputs(x), twin.gates(x)
    moved = z.copy()
    moved[:, 3, 2] = 0  # at frozen gates
    part = found.logits[:, 1] - tiny.value_forward(twin, moved, gates)[:, 1]
    assert distance(part, found.contributions[:, 3, 2]) < 1e-4
    alone = twin.explain(x[1:2], 1).contributions[0]
    assert_close(alone, found.contributions[1])
    foreign.flip(twin.value_network)
    assert distance(twin.explain(x, 1).logits, found.logits) > 1e-3


@pytest.mark.parametrize("function", dk.layers.SMOOTH)
def test_gates_of_an_activation_are_its_slope_at_zero_and_make_it_elsewhere(function):
    gate = dk.layers.SmoothGate(function)
    q = np.array([[-9.0, -2.0, -1e-4, 0.0, 1e-4, 0.3, 2.0, 9.0]], "float32")
    gates = ops.convert_to_numpy(gate(ops.convert_to_tensor(q)))
    assert np.isfinite(gates).all()
    known = getattr(keras.activations, function)
    expected = known(ops.convert_to_tensor(q), **gate.numbers)
    made = q * gates + gate.constant
    np.testing.assert_allclose(made, ops.convert_to_numpy(expected), 1e-5, 1e-6)
    assert abs(gates[0, 3] - gates[0, 4]) < 1e-3


def test_a_product_of_two_branches_needs_the_name_of_its_gate(rng):
    inputs = keras.Input((5,))
    a, b = layers.Dense(4, name="a")(inputs), layers.Dense(4, name="b")(inputs)
    x = layers.Multiply(name="product")([a, b])
    model = keras.Model(inputs, layers.Dense(2)(x))
    with pytest.raises(ValueError, match=r"name the gate.* of a, b"):
        dk.disentangle(model)
    with pytest.raises(ValueError, match=r"no operand 'c'.*one of a, b"):
        dk.disentangle(model, gates={"product": "c"})
    with pytest.raises(ValueError, match=r"`gates` must name products.*'nothing'"):
        dk.disentangle(model, gates={"product": "b", "nothing": "b"})
    twin = dk.disentangle(model, gates={"product": "b"})
    x = foreign.examples(rng, model)
    assert_close(tiny.forward(twin, x), tiny.forward(model, x))
    expected = tiny.forward(keras.Model(inputs, b), x)
    assert_close(twin.gates(x)["product"], expected)


@pytest.mark.parametrize("name", ["activations", "excited", "encoder", "divided"])
def test_sites_of_a_twin_add_up_or_are_refused(name, rng):
    model = build(name)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model, 2)
    assert set(crossed_sites(twin)) == set(by_definition(twin, rng))
    assert bool(twin.divisors) == (name == "divided")
    for site, _ in twin.sites:
        if site in twin.divisors:
            with pytest.raises(ValueError, match="gates the logits are linear"):
                twin.explain(x, 1, at=site)
            continue
        found = twin.explain(x, 1, at=site)
        whole = found.contributions.reshape(2, -1).sum(1) + found.bias + found.skipped
        assert_close(whole, found.logits[:, 1])


def by_definition(twin, rng):
    """With the gates of a crossed site shut, no input reaches the logits."""
    z = rng.normal(size=(1, *twin.input_shape[1:])).astype("float32")
    gates = {s: rng.uniform(0.5, 1, (1, *shape)) for s, shape in twin.sites}
    gates = {s: gate.astype("float32") for s, gate in gates.items()}
    for site, _ in twin.sites:
        shut = {**gates, site: 0 * gates[site]}
        a, b = (tiny.value_forward(twin, v, shut) for v in (z, 5 * z))
        if np.abs(a - b).max() <= 1e-5 * np.abs(b).max():
            yield site


def test_a_twin_of_smooth_gates_learns_and_is_saved_whole(rng, tmp_path):
    model = build("encoder")
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model, 4)
    twin.save(tmp_path / "twin.keras")
    again = keras.saving.load_model(tmp_path / "twin.keras")
    assert_close(tiny.forward(again, x), tiny.forward(twin, x))
    assert again.sites == twin.sites
    before = [ops.convert_to_numpy(w) for w in twin.gating_network.trainable_weights]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no gate of it is hard
        twin.compile("sgd", "mse")
    twin.fit(x, np.ones((4, 3), "float32"), epochs=1, verbose=0)
    after = [ops.convert_to_numpy(w) for w in twin.gating_network.trainable_weights]
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(after, before, strict=True))


def test_a_twin_of_hard_and_smooth_gates_warns_of_the_hard_ones():
    twin = dk.disentangle(build("excited"))
    assert twin.switches == ()  # its ReLU makes gates and has none
    inputs = keras.Input((5,))
    x = layers.Dense(4, activation="relu")(inputs)
    x = layers.Dense(3, activation="silu")(x)
    twin = dk.disentangle(keras.Model(inputs, layers.Dense(2)(x)))
    with pytest.warns(UserWarning, match="hard gates .* learn by its other gates"):
        twin.compile("sgd", "mse")


def test_attention_whose_mask_hides_its_length_is_refused():
    inputs = keras.Input((5, 6))
    attention = layers.MultiHeadAttention(1, 2, dropout=0.1, name="heads")
    x = attention(inputs, inputs, use_causal_mask=True)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.raises(ValueError, match=r"heads \(Multi.* make it with dropout=0"):
        dk.disentangle(model)


def test_the_epsilon_of_a_norm_counts():
    """Of inputs as small as its root; ConvNeXts lost theirs, by 5e-5 of the logits."""
    inputs = keras.Input((8,))
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(inputs)
    net = keras.Model(inputs, layers.Dense(3)(layers.ReLU()(x)))
    x = 1e-3 * np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    twin = dk.disentangle(net)
    expected = net.predict(x, verbose=0)
    np.testing.assert_allclose(twin.predict(x, verbose=0), expected, rtol=1e-5)
    gates = next(g for g in twin.gates(x).values() if g.shape == (5, 1))[:, 0]
    variance = x.var(axis=1, dtype="float64")
    np.testing.assert_allclose(gates, (variance + 1e-6) ** -0.5, rtol=1e-5)
    assert (gates < 0.9 * variance**-0.5).all()
