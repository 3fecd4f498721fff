"""Models as ordinary Keras models: frozen parts, precision, seeds, export, clones."""

import keras
import numpy as np
import pytest
import tiny
from contracts import EAGERLY, moved, values
from tolerances import assert_close

import dlgn_keras as dk


def step(net, x, rng):
    net.compile("sgd", "mse", run_eagerly=EAGERLY)
    net.fit(x, rng.normal(size=(len(x), tiny.CLASSES)), verbose=0)


@pytest.mark.parametrize("kind", ["fc_batch_norm", "gconv_valid", "resnet"])
@pytest.mark.parametrize("family", ["dgn", "dlgn"])
def test_a_frozen_gating_network_keeps_weights_and_statistics(family, kind, rng):
    net = tiny.build(family, tiny.wider(kind))
    x = tiny.examples(rng, kind, 8)
    net.gating_network.trainable = False
    gating = {w.path for w in net.gating_network.weights}
    before, gates = values(net.weights), net.gates(x)
    step(net, x, rng)
    after = moved(before, values(net.weights))
    assert not after & gating
    assert {w.path for w in net.value_network.weights} == after
    for site, gate in net.gates(x).items():
        np.testing.assert_array_equal(gate, gates[site])


def test_a_gating_network_that_is_not_frozen_moves_its_statistics(rng):
    """The broken twin of the test above."""
    net = tiny.build("dlgn", "fc_batch_norm")
    before = values(net.gating_network.weights)
    step(net, tiny.examples(rng, "fc_batch_norm", 8), rng)
    after = moved(before, values(net.gating_network.weights))
    assert {"moving_mean", "moving_variance"} <= {p.split("/")[-1] for p in after}


def test_what_was_frozen_is_frozen_after_loading(rng, tmp_path):
    for family in tiny.FAMILIES:
        net = tiny.build(family, "fc_batch_norm")
        net.gating_network.trainable = False
        net.save(tmp_path / "net.keras")
        again = keras.models.load_model(tmp_path / "net.keras")
        before = values(again.gating_network.weights)
        again.compile("sgd", "mse", run_eagerly=EAGERLY)
        x = tiny.examples(rng, "fc_batch_norm", 8)
        if family != "dnn":  # of a DNN, all is the gating network
            again.fit(x, rng.normal(size=(8, tiny.CLASSES)), verbose=0)
        assert not moved(before, values(again.gating_network.weights))
        assert not again.gating_network.trainable_weights


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_mixed_precision_keeps_float32_variables_logits_and_results(
    family, rng, mixed_precision
):
    net = tiny.build(family, tiny.wider("vgg16"))
    x = tiny.examples(rng, "vgg16", 8)
    assert {w.dtype for w in net.weights} == {"float32"}
    site = net.sites[-1].name
    assert keras.backend.standardize_dtype(net.gating_network.output[site].dtype) == (
        "bfloat16"
    )
    logits = net.predict(x, verbose=0)
    assert logits.dtype == np.float32
    for found in (net.gates(x), net.pre_activations(x)):
        assert {a.dtype for a in found.values()} == {np.dtype("float32")}
    keras.config.set_dtype_policy("float32")
    whole = type(net).from_config(net.get_config())
    whole.set_weights(net.get_weights())
    if family != "dnn":  # a ReLU or a soft gate is continuous; so are the logits
        assert_close(logits, tiny.forward(whole, x), "bfloat16")
    before = values(net.weights)
    step(net, x, rng)
    assert moved(before, values(net.weights)) == set(before)


def kernels(net):
    return {
        f"{network}/{name}": p.kernel
        for network in ("value", "gating")
        for name, p in net.parameters(network).items()
    }


@pytest.mark.once
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_seed_gives_the_same_weights_and_every_layer_its_own(family):
    skeleton = dk.skeletons.fc(4, 6)

    def made(seed):
        return kernels(dk.models.FAMILIES[family](skeleton, (6,), 6, seed=seed))

    one, same, other, free, freer = (made(s) for s in (7, 7, 8, None, None))
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
        assert not np.allclose(one[name], other[name])
        assert not np.allclose(free[name], freer[name])
    equal_shape = [k for n, k in one.items() if family != "dnn" or "value" in n]
    for i, kernel in enumerate(equal_shape):
        scaled = [k / np.abs(k).max() for k in equal_shape[i + 1 :]]
        assert not any(np.allclose(kernel / np.abs(kernel).max(), k) for k in scaled)


@pytest.mark.once
def test_initial_weights_have_the_variance_asked_for():
    """He for what is followed by a ReLU or a gate, LeCun for a linear chain."""
    net = dk.DLGN(dk.skeletons.fc(2, 400), (300,), 10, seed=0)
    variance = {k: v.var() for k, v in kernels(net).items()}
    assert abs(variance["value/dense_2"] * 400 / 2 - 1) < 0.05
    assert abs(variance["gating/dense_2"] * 400 - 1) < 0.05
    fixed = dk.DGN(dk.skeletons.fc(2, 4), (3,), 2, kernel_initializer="ones")
    assert (kernels(fixed)["value/dense_1"] == 1).all()
    assert (kernels(fixed)["gating/dense_1"] == 1).all()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_weights_alone_and_clones_carry_over(family, rng, tmp_path):
    net = tiny.build(family, "gconv_valid")
    x = tiny.examples(rng, "gconv_valid")
    net.save_weights(tmp_path / "net.weights.h5")
    twin = type(net).from_config(net.get_config())
    with pytest.raises(AssertionError):
        assert_close(tiny.forward(twin, x), tiny.forward(net, x))
    twin.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(tiny.forward(twin, x), tiny.forward(net, x))


@pytest.mark.once
def test_a_model_with_every_argument_of_its_own_survives_saving(rng, tmp_path):
    net = tiny.build(
        "dlgn",
        "c4gap",
        gate="soft",
        beta=10.0,
        gate_scale=1.1,
        value_input="ones",
        gate_order=[1, 2, 0],
        gating_bias=False,
        value_bias=True,
        batch_norm=True,
        preprocessing=dk.data.Preprocessing((0.5, 0.25), (0.0, 1.0)),
        kernel_initializer=keras.initializers.RandomUniform(-1, 1),
        gating_initializer="orthogonal",
        seed=5,
        name="mine",
    )
    x = tiny.examples(rng, "c4gap")
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(tiny.forward(again, x), tiny.forward(net, x))
    ours, theirs = (dict(m.arguments) for m in (net, again))
    for arguments in (ours, theirs):
        arguments.pop("kernel_initializer")
        arguments.pop("gating_initializer")
    assert ours == theirs
    assert again.name == "mine"
    assert again.skeleton.with_batch_norm(True) == again.skeleton
    fresh = type(net).from_config(again.get_config())
    assert_close(
        kernels(fresh)["gating/conv_2"],
        kernels(type(net).from_config(net.get_config()))["gating/conv_2"],
    )


@pytest.mark.parametrize("count", [1, 4, 7])
def test_arrays_go_through_a_model_as_predict_takes_them(count, rng):
    inputs = {"a": keras.Input((3,), name="a")}
    inputs["b"] = keras.Input((5,), dtype="uint8", name="b")
    joined = keras.layers.Concatenate()(
        [inputs["a"], keras.ops.cast(inputs["b"], "float32")]
    )
    model = keras.Model(inputs, [keras.layers.Dense(2)(joined), joined])
    x = {"a": rng.normal(size=(count, 3)), "b": rng.integers(0, 9, (count, 5), "uint8")}
    expected = model.predict(x, batch_size=3, verbose=0)
    found = dk.models.predict_arrays(model, x, batch_size=3)
    for ours, keras_own in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, keras_own)
    with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
        dk.models.predict_arrays(model, x, batch_size=0)
