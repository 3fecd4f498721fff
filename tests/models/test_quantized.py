"""int8 by Keras' own quantisation: what it keeps, what it costs, what it ends."""

import foreign
import keras
import numpy as np
import pytest
import tiny

import dlgn_keras as dk

PRESETS = ("dnn_fc_digits", "dgn_fc_digits", "dlgn_fc_digits")


def int8(net):
    return [w for w in net.weights if w.dtype == "int8"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_trained_model_in_int8_answers_nearly_alike_and_is_saved_so(name, tmp_path):
    digits = dk.data.load("digits")
    net = dk.from_preset(name)
    before = net.predict(digits.x_test, verbose=0)
    assert not net.quantized
    net.quantize("int8")
    assert net.quantized
    layers = [net.network_layers(n) for n in ("value", "gating")]
    kernels = {id(k.affine): k for part in layers for k in part.values() if made(k)}
    assert len(int8(net)) == len(kernels)
    after = tiny.forward(net, digits.x_test.astype("float32"))
    right = [(z.argmax(1) == digits.y_test).mean() for z in (before, after)]
    assert abs(right[0] - right[1]) <= 2 / len(digits.y_test)
    assert 0 < np.abs(before - after).max() < 0.03 * np.abs(before).max()
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert again.quantized
    few = digits.x_test[:9].astype("float32")
    np.testing.assert_allclose(tiny.forward(again, few), after[:9], rtol=1e-5)


def made(layer):
    return isinstance(layer, dk.layers.Gated)


def test_a_twin_in_int8_is_saved_and_loaded_so(rng, tmp_path):
    model = foreign.build("shared")
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)
    twin.quantize("int8")
    after = tiny.forward(twin, x)
    twin.save(tmp_path / "twin.keras")
    again = keras.models.load_model(tmp_path / "twin.keras")
    assert len(int8(again)) == len(int8(twin)) > 0
    np.testing.assert_allclose(tiny.forward(again, x), after, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="take the float model apart"):
        twin.explain(x)


def test_what_needs_an_affine_map_says_that_int8_is_none(rng, tmp_path):
    net = tiny.build("dlgn", "fc")
    x = tiny.examples(rng, "fc")
    with pytest.raises(ValueError, match="`mode` must be one of int8"):
        net.quantize("int4")
    net.quantize("int8")
    for ask in (
        lambda: net.explain(x),
        lambda: net.parameters("value"),
        lambda: dk.kernels.npk(net, x),
    ):
        with pytest.raises(ValueError, match="take the float model apart"):
            ask()
    with pytest.raises(ValueError, match="a preset keeps float numbers"):
        net.save_to_preset(tmp_path / "mine")
