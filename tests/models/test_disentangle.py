"""disentangle: the gated pair of any functional Keras model."""

import warnings

import foreign
import keras
import numpy as np
import pytest
import tiny
from contracts import EAGERLY, moved, values
from keras import layers
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras.models import DisentangledModel


@pytest.mark.parametrize("name", foreign.MODELS)
def test_a_twin_has_the_logits_of_the_model_and_a_perturbed_one_not(name, rng):
    model = foreign.build(name)
    x = foreign.examples(rng, model)
    expected = foreign.logits(model, x)
    before = values(model.weights)
    twin = dk.disentangle(model)
    assert isinstance(twin, DisentangledModel)
    assert (twin.family, twin.gate_mode) == ("dgn", "hard")
    assert_close(tiny.forward(twin, x), expected)
    head = {"output": "the softmax is left out: logits come out"}
    ends = name in ("hub", "sequence")
    assert twin.replacements == (head if ends else {})
    for network in ("gating_network", "value_network"):
        twin = dk.disentangle(model)
        foreign.flip(getattr(twin, network))
        with pytest.raises(AssertionError):
            assert_close(tiny.forward(twin, x), expected)
    assert not moved(before, values(model.weights)), "the model itself was changed"
    assert_close(foreign.logits(model, x), expected)


def before_each_site(model, x):
    """What Keras' own layers are fed: {site: array}, of the model `everything`."""
    feeds = {"prelu": model.get_layer("prelu").input}
    feeds["leaky"] = model.get_layer("leaky").input
    feeds["global"] = model.get_layer("global").input
    feeds["pool"] = model.get_layer("pool").input
    view = keras.Model(model.inputs, feeds)
    return {k: np.asarray(v) for k, v in view.predict(x, verbose=0).items()}


def test_gates_are_those_of_the_original_activations(rng):
    model = foreign.build("everything")
    x = foreign.examples(rng, model)
    twin = dk.disentangle(model)
    gates, fed = twin.gates(x), before_each_site(model, x)
    assert {k: g.shape[1:] for k, g in gates.items()} == dict(twin.sites)
    *named, last = gates
    assert last.startswith("relu")  # Keras numbers its operations
    assert named == [
        "conv_relu6",
        "conv_relu6_saturated",
        "pool",
        "prelu",
        "leaky",
        "inner_depthwise_relu",
        "global",
    ]
    np.testing.assert_array_equal(
        gates["leaky"], np.where(fed["leaky"] > 0, 1, np.float32(0.1))
    )
    alpha = model.get_layer("prelu").get_weights()[0]
    assert_close(gates["prelu"], np.where(fed["prelu"] > 0, 1, alpha))
    flat = fed["global"].reshape(len(x), -1, fed["global"].shape[-1])
    np.testing.assert_array_equal(gates["global"].argmax(-1), flat.argmax(1))
    # One or the other, or neither: on, saturated, off.
    both = gates["conv_relu6"] + gates["conv_relu6_saturated"]
    assert set(np.unique(both)) <= {0.0, 1.0}
    assert_close(twin.pre_activations(x)["pool"], fed["pool"])
    soft = twin.gates(x, mode="soft")
    inner = "inner_depthwise_relu"
    assert ((soft[inner] > 0.5) == (gates[inner] == 1)).all()
    assert len(np.unique(soft[inner])) > 2


@pytest.mark.parametrize("name", foreign.MODELS)
def test_contributions_and_bias_make_the_logit_and_the_map_is_affine(name, rng):
    model = foreign.build(name)
    x = foreign.examples(rng, model)
    twin = dk.disentangle(model)
    found = twin.explain(x)
    logits = foreign.logits(model, x)
    chosen = logits.argmax(1)
    np.testing.assert_array_equal(found.target, chosen)
    picked = logits[np.arange(len(x)), chosen]
    total = found.contributions.reshape(len(x), -1).sum(1)
    assert_close(total + found.bias, picked)
    # Not by construction: at the same gates another z has the logits foretold.
    z, gates = twin.value_inputs(x), twin.gates(x)
    moved = tiny.value_forward(twin, 3 * z, gates)[np.arange(len(x)), chosen]
    assert_close(3 * total + found.bias, moved)
    with pytest.raises(AssertionError):
        assert_close(2 * total + found.bias, moved)
    only = twin.explain(x[:1], target=2)
    assert_close(only.contributions.sum() + only.bias[0], logits[0, 2])


@pytest.mark.parametrize("kind", ["resnet", "gconv"])
def test_a_dnn_read_as_a_functional_model_has_the_dual_it_has_by_its_skeleton(
    kind, rng
):
    dnn, plain = foreign.skeleton(tiny.wider(kind))
    x = tiny.examples(rng, kind)
    ours, twin = dk.disentangle(dnn), dk.disentangle(plain)
    assert_close(tiny.forward(twin, x), tiny.forward(ours, x))
    by_site, by_layer = ours.gates(x), twin.gates(x)
    assert [g.shape for g in by_layer.values()] == [g.shape for g in by_site.values()]
    for site, gates in by_site.items():
        np.testing.assert_array_equal(by_layer[f"{site}_relu"], gates)
    one, other = ours.explain(x, 1), twin.explain(x, 1)
    assert_close(other.contributions, one.contributions)
    assert_close(other.bias, one.bias)


def test_a_loaded_model_may_have_the_names_that_keras_gives_first():
    """As in a new process: its own operations are "multiply" and "add" already."""
    keras.utils.clear_session()
    model = foreign.build("everything")
    assert {"multiply", "add"} <= {operation.name for operation in model.operations}
    keras.utils.clear_session()
    twin = dk.disentangle(model)
    assert twin.output_shape == model.output_shape


def test_a_dlgn_twin_is_linear_in_its_gating_network_and_says_what_it_averages(rng):
    model = foreign.build("everything")
    with pytest.warns(UserWarning, match="average pooling there, in pool, global"):
        twin = dk.disentangle(model, "dlgn")
    assert (twin.family, twin.gate_mode) == ("dlgn", "soft")
    averages = "averages in the gating network"
    assert twin.replacements == {"pool": averages, "global": averages}
    a, b = foreign.examples(rng, model), foreign.examples(rng, model)

    def q(network, x):
        found = network(keras.ops.convert_to_tensor(x), training=False)
        return {k: np.asarray(keras.ops.convert_to_numpy(v)) for k, v in found.items()}

    def gap(network):
        parts = [q(network, x) for x in (a, b, a + b, 0 * a)]
        return {k: parts[0][k] + parts[1][k] - parts[2][k] for k in parts[0]}, parts[3]

    sums, zeros = gap(twin.gating_network)
    for site, value in sums.items():
        assert_close(value, zeros[site])
    sums, zeros = gap(dk.disentangle(model).gating_network)
    with pytest.raises(AssertionError):  # the broken twin: a DGN's is not linear
        assert_close(sums["leaky"], zeros["leaky"])
    found = twin.explain(a)
    total = found.contributions.reshape(len(a), -1).sum(1) + found.bias
    logits = tiny.forward(twin, a)
    assert_close(total, logits[np.arange(len(a)), found.target])


@pytest.mark.parametrize("gate", ["hard", "soft", "straight_through"])
def test_a_twin_is_fine_tuned_and_frozen_gates_stay(gate, rng):
    model = foreign.build("hub")
    x, y = foreign.examples(rng, model, 8), rng.normal(size=(8, 3))
    twin = dk.disentangle(model, gate=gate, beta=2.0)

    def step():
        twin.compile("sgd", "mse", run_eagerly=EAGERLY)
        before = values(twin.weights)
        twin.fit(x, y, verbose=0)
        return moved(before, values(twin.weights))

    value = {w.path for w in twin.value_network.weights}
    gating = {w.path for w in twin.gating_network.weights}
    if gate == "hard":  # no gradient; batch norm's averages move all the same
        gating = {path for path in gating if "/moving_" in path}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gradients do not exist")
        assert step() == value | gating
    twin.gating_network.trainable = False
    gates = twin.gates(x)
    assert step() == value
    for site, now in twin.gates(x).items():
        np.testing.assert_array_equal(now, gates[site])


def test_what_was_frozen_or_called_in_inference_mode_is_so_in_both_networks():
    model = foreign.build("hub")
    model.get_layer("backbone").trainable = False
    twin = dk.disentangle(model)
    (norm,) = (s for s in twin.source_graph.steps if s.layer == "backbone_stem_bn")
    assert norm.arguments[1] == {"training": False}
    assert {w.path.split("/")[1] for w in twin.trainable_weights} == {"predictions"}
    whole = dk.disentangle(foreign.build("hub"))
    assert len(whole.trainable_weights) > len(twin.trainable_weights)


@pytest.mark.parametrize("name", ["everything", "shared"])
def test_a_saved_twin_is_the_same_again(name, rng, tmp_path):
    model = foreign.build(name)
    twin = dk.disentangle(model, gate="soft", beta=3.0, value_input="ones", name="mine")
    twin.gating_network.trainable = False
    x = foreign.examples(rng, model)
    twin.save(tmp_path / "twin.keras")
    again = keras.models.load_model(tmp_path / "twin.keras")
    assert (again.name, again.arguments) == ("mine", twin.arguments)
    assert again.sites == twin.sites
    assert not again.gating_network.trainable
    assert again.value_network.trainable
    np.testing.assert_array_equal(tiny.forward(again, x), tiny.forward(twin, x))


def test_weights_are_copies_or_drawn_afresh(rng):
    model = foreign.build("shared")
    fresh = dk.disentangle(model, copy_weights=False)
    kernels = [
        next(w for w in net.weights if "kernel" in w.path)
        for net in (model, fresh.value_network, fresh.gating_network)
    ]
    shown = [keras.ops.convert_to_numpy(k) for k in kernels]
    assert not any(
        np.allclose(a, b) for k, a in enumerate(shown) for b in shown[k + 1 :]
    )
    # Called twice, there once: as many numbers in each network as in the model.
    logits = model.layers[-1].count_params()
    assert fresh.value_network.count_params() == model.count_params() - 5
    assert fresh.gating_network.count_params() == model.count_params() - logits


def unknown_sizes():
    inputs = keras.Input(foreign.image(None))
    x = foreign.Backbone(foreign.image(None), name="backbone")(inputs)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def test_a_model_of_any_size_is_given_one(rng):
    model = unknown_sizes()
    tiny.shake(model)
    with pytest.raises(ValueError, match="known size, or be given `input_shape`"):
        dk.disentangle(model)
    with pytest.raises(ValueError, match="`input_shape` must fit"):
        dk.disentangle(model, input_shape=foreign.image(6, channels=3))
    twin = dk.disentangle(model, input_shape=foreign.image(6))
    x = foreign.examples(rng, twin)
    assert_close(tiny.forward(twin, x), tiny.forward(model, x))


class Own(layers.Layer):
    def call(self, x):
        return x * x


def refused():
    """Much that is no gated network, in one model."""
    inputs = keras.Input((6, 4))
    x = layers.Dense(4, activation="gelu", name="first")(inputs)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.MultiHeadAttention(1, 2, name="attention")(x, x)
    x = layers.Lambda(lambda z: z * 2, name="code")(x)
    x = Own(name="square")(x)
    x = layers.Multiply(name="product")([x, inputs])
    x = layers.TimeDistributed(layers.Dense(4, activation="relu"), name="each")(x)
    x = x * keras.ops.sigmoid(x)
    x = layers.Dense(3, activation="softmax", name="middle")(x)
    x = layers.RandomRotation(0.1, name="late")(x[..., None])
    return keras.Model(inputs, layers.Flatten()(x), name="wild")


def test_all_that_cannot_be_converted_is_named_before_anything_is_built(monkeypatch):
    model = refused()
    monkeypatch.setattr(DisentangledModel, "__init__", None)
    with pytest.raises(ValueError, match="`model` 'wild' cannot be converted") as told:
        dk.disentangle(model)
    message = str(told.value)
    assert "\n" not in message
    for part in (
        "first (Dense) has the activation gelu, which is not ReLU-like",
        "norm (LayerNormalization) is neither affine at inference nor ReLU-like",
        "attention (MultiHeadAttention) is neither affine",
        "code (Lambda) holds code, of which nothing is known",
        "square (Own) is a layer of your own",
        "product (Multiply) is neither affine",
        "each (TimeDistributed) wraps another layer",
        "multiplies or divides by a tensor of the network",
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
    x = keras.ops.add(x, keras.Variable(np.ones(4, "float32")))
    x = dk.layers.LinearGate(name="gate")(x)
    return keras.Model(inputs, layers.Dense(3)(x), name="odd")


def test_the_rarer_ones_are_named_too():
    with pytest.raises(ValueError, match="`model` 'odd' cannot be converted") as told:
        dk.disentangle(odd())
    message = str(told.value)
    for part in (
        "fused (Dense) has PReLU as its activation: call it on its own",
        "bent (ReLU) has no gates: `threshold` must be 0",
        "inner (Subclassed) is a subclassed model, its graph unknown",
        "reads a variable",
        "gate (LinearGate) is gated already",
    ):
        assert part in message
    assert ".." not in message


def test_every_spelling_of_a_relu_is_read(rng):
    inputs = keras.Input((4,))
    x = layers.Dense(5, activation=layers.LeakyReLU(0.2))(inputs)
    x = layers.Dense(5, activation=layers.ReLU(max_value=2.0))(x)
    x = layers.Dense(5, activation="leaky_relu")(x)
    x = layers.Dense(5, activation=keras.ops.relu6)(keras.ops.leaky_relu(-x, 0.3))
    x = keras.ops.relu6(8 * layers.Dense(5)(x))
    model = keras.Model(inputs, layers.Dense(3)(x), name="spellings")
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)
    assert_close(tiny.forward(twin, x), foreign.logits(model, x))
    gates = twin.gates(x)
    assert len([name for name in gates if not name.endswith("_saturated")]) == 6


def two_inputs():
    a, b = keras.Input((2,)), keras.Input((2,))
    return keras.Model([a, b], layers.ReLU()(layers.Add()([a, b])))


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
        (two_inputs, "must have one input.*2 inputs"),
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
