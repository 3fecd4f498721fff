"""Export to ONNX, run by ONNX Runtime: on TensorFlow and PyTorch."""

import foreign
import keras
import numpy as np
import onnxruntime
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk

# Of the exporters, which warn of their own ways.
pytestmark = pytest.mark.filterwarnings("ignore")


def run(path, x):
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    return session.run(None, {given.name: x})[0]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_model_in_onnx_gives_the_same_logits_and_another_does_not(
    family, rng, tmp_path
):
    net = tiny.build(family, "gconv_valid")
    x = tiny.examples(rng, "gconv_valid", 2)
    net.export(tmp_path / "net.onnx", format="onnx", verbose=False)
    found = run(tmp_path / "net.onnx", x)
    assert_close(found, tiny.forward(net, x))
    kernel = next(w for w in net.value_network.weights if "kernel" in w.path)
    kernel.assign(-np.asarray(keras.ops.convert_to_numpy(kernel)))
    with pytest.raises(AssertionError):
        assert_close(found, tiny.forward(net, x))


def test_the_twin_of_a_keras_model_in_onnx_gives_that_models_logits(rng, tmp_path):
    model = foreign.build("sequence")  # augmentation cannot be traced on PyTorch
    x = foreign.examples(rng, model, 2)
    twin = dk.disentangle(model)
    twin.export(tmp_path / "twin.onnx", format="onnx", verbose=False)
    assert_close(run(tmp_path / "twin.onnx", x), foreign.logits(model, x))
