"""The two experiments on kernels, against kernels computed by hand."""

import json

import numpy as np
import pytest
from experiments import few

from dlgn_keras import data
from dlgn_keras.experiments import reproduce
from dlgn_keras.experiments.alignment import two_classes
from dlgn_keras.experiments.ntk_npk import compare
from dlgn_keras.experiments.runs import kept_model
from dlgn_keras.models import DGN
from dlgn_keras.skeletons import fc
from dlgn_keras.training import load_trained


def _nu_by_hand(net, x, y):
    """`y^T (H / tr H)^-1 y`, H = (<x, x'>) times the overlap of every layer's gates."""
    flat = np.asarray(net.value_inputs(x), float).reshape(len(x), -1)
    gram = flat @ flat.T
    for gates in net.gates(x).values():
        gram = gram * (np.asarray(gates, float) @ np.asarray(gates, float).T)
    signs = np.where(y == 1, 1.0, -1.0)
    return signs @ np.linalg.inv(gram / np.trace(gram)) @ signs


def test_nu_in_the_table_is_that_of_the_kept_models(tmp_path):
    changes = {"epochs": 2, "skeleton": "fc:depth=2,width=8"}
    table = reproduce(
        "alignment", tmp_path, seeds=1, rows=["dgn"], progress=False, changes=changes
    )
    assert [line["epoch"] for line in table.lines] == [0, 1, 2]
    (run,) = few.stamps(tmp_path)
    pair = data.load(tmp_path / "data" / "digits-4-vs-7.npz").take(100)
    x, y = pair.x_train, pair.y_train
    for line in table.lines:
        net = load_trained(str(kept_model(tmp_path / "runs" / run, line["epoch"])))
        assert line["nu mean"] == pytest.approx(_nu_by_hand(net, x, y), rel=1e-4)
        # The check can fail: other labels give another figure.
        assert line["nu mean"] != pytest.approx(_nu_by_hand(net, x, y[::-1]), rel=0.01)
    stored = json.loads((tmp_path / "alignment-small" / "table.json").read_text())
    assert stored["lines"] == table.lines
    assert (tmp_path / "alignment-small" / "figure.png").is_file()


def test_two_class_data_are_the_networks_inputs_of_the_two_digits(tmp_path):
    pair = data.load(two_classes(tmp_path, "digits", None))
    whole = data.load("digits")
    keep = (whole.y_test == 4) | (whole.y_test == 7)
    np.testing.assert_allclose(pair.x_test, whole.x_test[keep] / 16, rtol=1e-6)
    np.testing.assert_array_equal(pair.y_test, whole.y_test[keep] == 7)
    assert pair.preprocessing.apply(pair.x_test).max() == 1


def test_the_kernels_of_one_hidden_layer_are_those_of_the_formula():
    # y = a^T (G * (W x)): dy/da = G * (W x), dy/dW = (a * G) x^T.
    images = data.load("digits").take(6)
    alignment, distance = compare(fc(1, 12), images, seed=3)
    net = DGN(
        fc(1, 12),
        (8, 8, 1),
        10,
        gate="hard",
        preprocessing=images.preprocessing,
        seed=3,
    )
    x = images.x_train.reshape(6, -1) / 16
    gates = net.gates(images.x_train)["dense_1"].astype(float)
    w, a = (layer.kernel for layer in net.parameters("value").values())
    hidden = gates * (x @ w)
    outer = gates * a[:, 0]
    tangent = hidden @ hidden.T + (x @ x.T) * (outer @ outer.T)
    path_kernel = (x @ x.T) * (gates @ gates.T)
    expected = (2 / 64 + 2 / 12) * path_kernel
    by_hand = np.linalg.norm(tangent - expected) / np.linalg.norm(expected)
    assert distance == pytest.approx(by_hand, rel=1e-4)
    centre = np.eye(6) - 1 / 6
    first, second = centre @ tangent @ centre, centre @ path_kernel @ centre
    cosine = (first * second).sum()
    cosine /= np.linalg.norm(first) * np.linalg.norm(second)
    assert alignment == pytest.approx(cosine, rel=1e-4)
    # The check can fail: without its constant the distance is another.
    wrong = np.linalg.norm(tangent - path_kernel) / np.linalg.norm(path_kernel)
    assert distance != pytest.approx(wrong, rel=0.01)


def test_the_kernel_comparison_trains_nothing_and_says_so(tmp_path):
    with pytest.raises(ValueError, match="trains nothing"):
        reproduce("ntk-npk", tmp_path, changes={"epochs": 1}, progress=False)
    with pytest.raises(ValueError, match="Did you mean 'resnet'"):
        reproduce("ntk-npk", tmp_path, rows=["resnet8"], progress=False)


def test_the_kernel_comparison_writes_a_line_per_width(tmp_path):
    table = reproduce("ntk-npk", tmp_path, seeds=1, rows=["fc"], progress=False)
    assert [line["width"] for line in table.lines] == [8, 16, 32, 64]
    for line in table.lines:
        assert 0 < line["alignment mean"] <= 1
        assert line["distance mean"] > 0
    assert (tmp_path / "ntk-npk-small" / "figure.png").is_file()
