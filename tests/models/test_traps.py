"""Mistakes that pass silently elsewhere are told in one line."""

import re
import warnings

import keras
import numpy as np
import pytest
import tiny

import dlgn_keras as dk

IMAGE = (8, 8, 1)


@pytest.fixture(scope="module")
def net():
    return dk.DLGN("c4gap:width=2,depth=1", IMAGE, 3, seed=0)


def compiled_quietly(net, loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.compile("sgd", loss)


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        "categorical_crossentropy",
        "kl_divergence",
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.CategoricalCrossentropy(from_logits=False),
        keras.losses.sparse_categorical_crossentropy,
    ],
)
def test_a_loss_of_probabilities_is_told(net, loss):
    with pytest.warns(UserWarning, match=r"dlgn: .* from_logits=True") as seen:
        net.compile("sgd", loss)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "loss",
    [
        None,
        "mse",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        lambda y, logits: keras.ops.mean(logits),
    ],
)
def test_a_loss_of_logits_passes_quietly(net, loss):
    compiled_quietly(net, loss)


def test_a_compiled_model_is_compiled_again_when_loaded(net, tmp_path):
    compiled_quietly(net, "mse")
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert again.compiled
    assert again.loss == "mse"


def test_hard_gates_of_a_gating_network_that_trains_are_told():
    net = dk.DGN("fc:depth=1,width=4", (4,), 2, gate="hard", name="mine")
    with pytest.warns(UserWarning, match="mine: hard gates pass no gradient"):
        net.compile("sgd", "mse")
    net.gating_network.trainable = False
    compiled_quietly(net, "mse")
    compiled_quietly(dk.DGN("fc:depth=1,width=4", (4,), 2), "mse")
    compiled_quietly(dk.DNN("fc:depth=1,width=4", (4,), 2), "mse")


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((5, 8, 8), "x[..., None]"),
        ((8, 8, 1), "x[None]"),
        ((8, 8), "x[None, ..., None]"),
    ],
)
@pytest.mark.parametrize("read", ["gates", "explain"])
def test_a_missing_axis_is_named(net, shape, hint, read):
    with pytest.raises(ValueError, match=rf"Received: .*{re.escape(hint)}"):
        getattr(net, read)(np.ones(shape))


def test_a_shape_that_no_axis_mends_gets_no_hint(net):
    with pytest.raises(ValueError, match=r"of shape \(2, 7, 7, 1\)\.$"):
        net.gates(np.ones((2, 7, 7, 1)))


def test_predict_names_the_missing_batch_axis(net):
    with pytest.raises(ValueError, match=re.escape("x[None]")):
        net.predict(np.ones(IMAGE), verbose=0)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_skeleton_may_be_text(family):
    net = dk.models.FAMILIES[family]("fc:depth=4,width=20", (5,), 3)
    assert net.skeleton == dk.skeletons.fc(4, 20)
    again = type(net).from_config(net.get_config())
    assert again.skeleton == net.skeleton


def test_fit_takes_the_name_of_a_recipe(monkeypatch):
    digits = dk.data.load("digits").take(60, 20)
    monkeypatch.setitem(
        dk.training.named.NAMED,
        "brief",
        {"skeleton": "fc:depth=1,width=4", "epochs": 1},
    )
    result = dk.training.fit("brief", dataset=digits, progress=False)
    assert result.recipe["epochs"] == 1
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        dk.training.fit("digit")


@pytest.mark.parametrize(
    "layer",
    [
        dk.layers.GatedDense(3),
        dk.layers.GatedConv1D(3, 1),
        dk.layers.GatedAdd(),
        dk.layers.GatedResidualBlock(3),
    ],
)
def test_a_gate_as_a_second_argument_is_told(layer):
    z = np.ones((2, 3), "float32")
    with pytest.raises(TypeError, match=r"layer\(\[z, gate\]\)"):
        layer(z, z)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, labels):
        super().__init__()
        self.x, self.labels = x, labels

    def __len__(self):
        return 3

    def __getitem__(self, k):
        part = self.x[2 * k : 2 * k + 2]
        return (part, np.zeros(len(part))) if self.labels else part


class Endless(Batches):
    @property
    def num_batches(self):
        return None


@pytest.mark.parametrize("labels", [True, False])
def test_gates_and_explanations_take_data_sets(net, rng, labels):
    x = rng.normal(size=(5, *IMAGE)).astype("float32")
    gates, told = net.gates(x), net.explain(x)
    sets = [Batches(x, labels)]
    tf = pytest.importorskip("tensorflow")
    made = tf.data.Dataset.from_tensor_slices((x, np.zeros(5)) if labels else x)
    sets += [made.batch(2), made]
    for given in sets:
        np.testing.assert_array_equal(net.gates(given)["conv_1"], gates["conv_1"])
        found = net.explain(given)
        np.testing.assert_array_equal(found.contributions, told.contributions)


def test_a_data_set_without_end_is_refused(net):
    with pytest.raises(ValueError, match="`x` must be a data set with an end"):
        net.gates(Endless(np.ones((6, *IMAGE)), False))
