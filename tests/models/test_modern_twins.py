"""Twins of modern networks as models of their own: DLGNs, files, pages, training."""

import json
import warnings

import keras
import numpy as np
import pytest
import tiny
from keras import layers, ops
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras.cli import main
from dlgn_keras.interpret.sites import rungs

LAST = {"data_format": "channels_last"}
SHAPE = (8, 8, 1)


def block(x, y, width, name):
    y = layers.LayerNormalization(name=f"{name}_norm")(y)
    y = layers.Dense(2 * width, activation="gelu", name=f"{name}_wide")(y)
    return layers.Add(name=name)([x, layers.Dense(width, name=f"{name}_narrow")(y)])


def convnext():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 2, strides=2, name="patches", **LAST)(inputs)
    x = layers.LayerNormalization(name="stem")(x)
    for k in (1, 2):
        y = layers.DepthwiseConv2D(3, padding="same", name=f"depth_{k}", **LAST)(x)
        x = block(x, y, 4, f"block_{k}")
    x = layers.GlobalAveragePooling2D(**LAST)(x)
    x = layers.LayerNormalization(name="last")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="convnext")


@keras.saving.register_keras_serializable(package="tests")
class Tokens(layers.Layer):
    """A class token before the patches, and what is learnt of their places."""

    def build(self, shape):
        new = {"initializer": "random_normal"}
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token", **new)
        size = (1, shape[1] + 1, shape[-1])
        self.places = self.add_weight(shape=size, name="places", **new)

    def call(self, x):
        shape = (ops.shape(x)[0], 1, x.shape[-1])
        token = ops.broadcast_to(self.token, shape)
        return ops.concatenate([token, x], axis=1) + self.places


def vit():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(6, 4, strides=4, name="patches", **LAST)(inputs)
    x = Tokens(name="tokens")(layers.Reshape((4, 6))(x))
    y = layers.LayerNormalization(name="attended_norm")(x)
    y = layers.MultiHeadAttention(2, 3, name="heads")(y, y)
    x = layers.Add(name="attended")([x, y])
    x = layers.LayerNormalization(name="last")(block(x, x, 6, "block"))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x[:, 0]), name="vit")


def mixed():
    """Squeeze and excitation, group and RMS norms, GLU, pooling, ReLU6, softplus."""
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, activation="swish", name="conv", **LAST)(inputs)
    s = layers.GlobalAveragePooling2D(keepdims=True, **LAST)(x)
    s = layers.Dense(2, activation="relu", name="squeeze")(s)
    s = layers.Dense(4, activation="sigmoid", name="sigmoid")(s)
    x = layers.Multiply(name="excite")([x, s])
    x = layers.GroupNormalization(2, name="groups")(x)
    x = layers.MaxPooling2D(2, name="pool", **LAST)(x)
    x = keras.activations.glu(layers.Dense(8, name="halves")(x))
    x = layers.RMSNormalization(name="rms")(x)
    x = layers.Flatten()(layers.Activation("relu6", name="relu6")(x))
    x = layers.Dense(6, activation="softplus", name="softplus")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="mixed")


MODELS = {"convnext": convnext, "vit": vit, "mixed": mixed}
slow = pytest.mark.slow


def twin_of(name, family="dlgn", **options):
    model = MODELS[name]()
    tiny.shake(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A DLGN's gating network is linear")
        return dk.disentangle(model, family, **options)


def images(rng, number=4):
    return rng.normal(size=(number, *SHAPE)).astype("float32")


def bend(twin, x):
    """How far each pre-activation is from affine, in parts of its size."""
    q = lambda z: twin.gating_network(ops.convert_to_tensor(z))  # noqa: E731
    found = {}
    for (site, both), a, b, zero in zip(
        q(x[:2] + x[2:4]).items(), *(q(z).values() for z in (x[:2], x[2:4], 0 * x[:2])),
        strict=True,
    ):  # fmt: skip
        gap = ops.convert_to_numpy(both - a - b + zero)
        found[site] = np.abs(gap).max() / np.abs(ops.convert_to_numpy(both)).max()
    return found


@pytest.mark.parametrize("name", [pytest.param("convnext", marks=slow), "vit", "mixed"])
def test_what_gates_are_made_of_is_affine_in_a_dlgn_and_is_not_in_a_dgn(name, rng):
    twin, x = twin_of(name), images(rng)
    gaps = bend(twin, x)
    assert max(gaps.values()) < 1e-5
    if name == "vit":  # the broken twin
        assert max(bend(twin_of(name, "dgn"), x).values()) > 1e-2
    for site, shape in twin.sites:
        assert twin.gates(x)[site].shape == (4, *shape)
    if name == "vit":  # the scores are made of a query and a key, each affine
        assert sum(site.startswith("heads") for site in gaps) == 2
    found = twin.explain(x, 1)
    assert_close(found.contributions.sum((1, 2, 3)) + found.bias, found.logits[:, 1])
    assert_close(found.logits, tiny.forward(twin, x))


def compiled(twin):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    twin.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    return twin


def weights(network):
    return [np.array(ops.convert_to_numpy(w)) for w in network.trainable_weights]


def moved(network, before):
    return [bool((a != b).any()) for a, b in zip(weights(network), before, strict=True)]


@pytest.mark.parametrize("name", ["vit"])
def test_a_dlgn_learns_with_all_its_weights_and_comes_back_bit_by_bit(
    name, rng, tmp_path
):
    twin, x, y = compiled(twin_of(name)), images(rng, 8), np.arange(8) % 3
    gates, values = weights(twin.gating_network), weights(twin.value_network)
    losses = twin.fit(x, y, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert all(moved(twin.gating_network, gates) + moved(twin.value_network, values))
    twin.save(tmp_path / "twin.keras")
    again = keras.saving.load_model(tmp_path / "twin.keras")
    np.testing.assert_array_equal(tiny.forward(again, x), tiny.forward(twin, x))
    assert max(bend(again, x).values()) < 1e-5
    gates, values = weights(again.gating_network), weights(again.value_network)
    again.gating_network.trainable = False  # fine-tuning at fixed gates
    compiled(again).fit(x, y, epochs=1, verbose=0)
    again.gating_network.trainable = True
    assert not any(moved(again.gating_network, gates))
    assert all(moved(again.value_network, values))


@slow
@pytest.mark.parametrize("name", ["convnext", "mixed"])
def test_other_dlgns_learn_and_come_back(name, rng, tmp_path):
    test_a_dlgn_learns_with_all_its_weights_and_comes_back_bit_by_bit(
        name, rng, tmp_path
    )


@slow
@pytest.mark.parametrize(
    ("name", "family"), [("convnext", "dgn"), ("vit", "dlgn"), ("mixed", "dlgn")]
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.only("tensorflow")
def test_files_for_other_programs_answer_and_explain(name, family, rng, tmp_path):
    import onnxruntime
    import tensorflow as tf

    twin, x = twin_of(name, family), images(rng, 3)
    found, logits = twin.explain(x, 1), tiny.forward(twin, x)
    twin.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved").serve(x)
    assert_close(served, logits)
    target = {"target": np.ones(3, "int32")}
    for contributions, more in ((False, {}), (True, target)):
        path = tmp_path / "twin.onnx"
        options = {"contributions": True} if contributions else {"verbose": False}
        twin.export(path, format="onnx", **options)
        session = onnxruntime.InferenceSession(path)
        given = {session.get_inputs()[0].name: x, **more}
        made = session.run(None, given)
        assert_close(made[0], logits)
    names = [output.name for output in session.get_outputs()]
    made = dict(zip(names, made, strict=True))
    assert_close(made["contributions"], found.contributions)
    assert_close(made["bias"], found.bias)
    assert distance(made["contributions"], twin.explain(x, 0).contributions) > 1e-3


@pytest.mark.parametrize("name", [pytest.param("convnext", marks=slow), "vit"])
def test_the_command_line_and_the_page_take_a_keras_file(
    name, rng, tmp_path, capsys, monkeypatch
):
    model, x = MODELS[name](), images(rng, 2)
    tiny.shake(model)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "own.npz", **dict.fromkeys(("x_train", "x_test"), x),
             y_train=[0, 1], y_test=[0, 1])  # fmt: skip
    page = tmp_path / "page.html"
    options = ["--data", str(tmp_path / "own.npz"), "--out", str(page), "--json"]
    assert main(["explain", str(tmp_path / "model.keras"), *options]) == 0
    (row,) = json.loads(capsys.readouterr().out)["images"]
    logits = tiny.forward(model, x[:1])[0]
    np.testing.assert_allclose(row["logits"], logits, rtol=1e-4, atol=1e-5)
    assert row["contributions"] + row["bias"] == pytest.approx(logits.max(), rel=1e-4)
    twin = dk.disentangle(model)
    assert rungs(twin) == ()  # paths skip every gate of a unit: cards tell so
    assert "paths that skip it make" in page.read_text()
