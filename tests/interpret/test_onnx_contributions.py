"""An ONNX file that explains: equal to `explain`, run without Keras; on TensorFlow."""

import subprocess
import sys

import foreign
import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras.interpret.onnx import export_contributions

pytestmark = [pytest.mark.only("tensorflow"), pytest.mark.filterwarnings("ignore")]


def run(path, **given):
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, given), strict=True))


def exported(net, tmp_path):
    path = tmp_path / "net.onnx"
    net.export(path, format="onnx", contributions=True)
    return path


def check(net, x, tmp_path, rng):
    target = rng.integers(0, net.output_shape[-1], len(x)).astype("int32")
    found = run(exported(net, tmp_path), inputs=x, target=target)
    expected = net.explain(x, target)
    assert set(found) == {"logits", "contributions", "bias"}
    for name in found:
        assert_close(found[name], getattr(expected, name))
    assert np.abs(expected.contributions).max() > 1e-3
    return found


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("dnn", "gconv"),
        ("dgn", tiny.FIELDS["max_pool"]),
        ("dlgn", "vgg16"),
        ("dlgn", "resnet"),
        ("dlgn", "sequence"),
    ],
)
def test_the_file_explains_as_the_model_does_and_a_changed_one_otherwise(
    rng, tmp_path, family, kind
):
    net = tiny.build(family, kind)
    x = tiny.examples(rng, kind, 3)
    found = check(net, x, tmp_path, rng)
    kernel = next(w for w in net.value_network.weights if "kernel" in w.path)
    kernel.assign(-np.asarray(keras.ops.convert_to_numpy(kernel)))
    assert distance(net.predict(x, verbose=0), found["logits"]) > 1e-3


@pytest.mark.parametrize("name", ["everything", "sequence", "hub"])
def test_the_files_of_twins_of_keras_models(rng, tmp_path, name):
    model = foreign.build(name)
    x = foreign.examples(rng, model)[:2].astype("float32")
    twin = dk.disentangle(model)
    found = check(twin, x, tmp_path, rng)
    assert_close(found["logits"], foreign.logits(model, x))


def test_a_preset_runs_without_keras_in_a_process_of_its_own(tmp_path):
    net = dk.from_preset("dlgn_fc_digits")
    x = dk.data.load("digits").x_test[:4].astype("float32")
    path, target = exported(net, tmp_path), np.array([0, 1, 2, 3], "int32")
    np.savez(tmp_path / "in.npz", inputs=x, target=target)
    script = (
        "import sys, numpy, onnxruntime\n"
        f"given = dict(numpy.load({str(tmp_path / 'in.npz')!r}))\n"
        f"session = onnxruntime.InferenceSession({str(path)!r})\n"
        "out = session.run(['contributions', 'bias'], given)\n"
        f"numpy.savez({str(tmp_path / 'out.npz')!r}, c=out[0], b=out[1])\n"
        "assert not {'keras', 'tensorflow', 'dlgn_keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    out, expected = np.load(tmp_path / "out.npz"), net.explain(x, target)
    assert_close(out["c"], expected.contributions)
    assert np.abs(out["b"] - expected.bias).max() < 1e-5 * expected.logits.max()
    kinds = {opset.domain for opset in onnx.load(path).opset_import}
    assert kinds <= {"", "ai.onnx.ml"}  # no operations of anyone's own


def test_gates_come_out_and_a_flipped_one_changes_what_it_carries(rng, tmp_path):
    net = tiny.build("dlgn", "gconv", gate="hard")
    x = tiny.examples(rng, "gconv", 2)
    export_contributions(net, tmp_path / "net.onnx", gates=True)
    flips = {s: np.zeros((2, *shape), "float32") for s, shape in net.sites}
    given = {f"flip/{s}": flip for s, flip in flips.items()}
    target = np.array([1, 1], "int32")
    found = run(tmp_path / "net.onnx", inputs=x, target=target, **given)
    made, gates = dk.interpret.gate_contributions(net, x, 1), net.gates(x)
    for site, _ in net.sites:
        assert_close(found[f"at/{site}"], made[site])
        assert_close(found[f"gates/{site}"], gates[site])
    unit = np.unravel_index(np.abs(made["conv_2"][0]).argmax(), made["conv_2"][0].shape)
    given["flip/conv_2"][(0, *unit)] = -1
    after = run(tmp_path / "net.onnx", inputs=x, target=target, **given)
    part = (found["logits"] - after["logits"])[0, 1]
    assert_close(part, made["conv_2"][(0, *unit)])
    assert abs(part) > 1e-3


def test_what_cannot_be_is_refused_in_our_words(tmp_path):
    net = tiny.build("dlgn", "fc")
    with pytest.raises(ValueError, match="`format` must be one of onnx"):
        net.export(tmp_path / "a", contributions=True)
    with pytest.raises(ValueError, match="one vector of logits"):
        exported(dk.disentangle(foreign.segmentation()), tmp_path)
    with pytest.raises(ValueError, match="`contributions` needs operations"):
        exported(tiny.build("dgn", tiny.FIELDS["groups"]), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.only("jax")
def test_on_another_backend_it_says_what_works(tmp_path):
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
        exported(tiny.build("dlgn", "fc"), tmp_path)
