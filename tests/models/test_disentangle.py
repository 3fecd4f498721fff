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


@pytest.mark.once
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


@pytest.mark.once
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


@pytest.mark.once
def test_a_loaded_model_may_have_the_names_that_keras_gives_first():
    """As in a new process: its own operations are "multiply" and "add" already."""
    keras.utils.clear_session()
    model = foreign.build("everything")
    assert {"multiply", "add"} <= {operation.name for operation in model.operations}
    keras.utils.clear_session()
    twin = dk.disentangle(model)
    assert twin.output_shape == model.output_shape


@pytest.mark.once
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
        warnings.filterwarnings("ignore", message=".*: hard gates pass no gradient")
        assert step() == value | gating
    twin.gating_network.trainable = False
    gates = twin.gates(x)
    assert step() == value
    for site, now in twin.gates(x).items():
        np.testing.assert_array_equal(now, gates[site])


@pytest.mark.once
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


@pytest.mark.once
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


@pytest.mark.once
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


@pytest.mark.once
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
