"""The adapter to Quantus: what it feeds, and scores of methods that are known."""

import keras
import numpy as np
import pytest
import tiny

import dlgn_keras as dk
from dlgn_keras.data import Preprocessing
from dlgn_keras.interpret import attributions, by_quantus


def linear():
    """A DNN with every unit far from its boundary: one affine map."""
    skeleton, scaled = dk.skeletons.c4gap(3, depth=2), Preprocessing(0.5, -0.25)
    net = dk.DNN(skeleton, (8, 8, 2), 4, preprocessing=scaled, seed=0)
    for name, bias in (("conv_1", 30.0), ("conv_2", 300.0)):
        net.network_layers("value")[name].affine.bias.assign(np.full(3, bias))
    return net


@pytest.mark.only("torch")
def test_the_module_has_the_logits_and_explains_raw_inputs(rng):
    import torch

    net, x = linear(), rng.normal(size=(3, 8, 8, 2)).astype("float32")
    side = by_quantus._Side(net)
    z = side.first(net.preprocessed(x))
    assert z.shape == (3, 2, 8, 8)
    found = side.module()(torch.as_tensor(z)).detach().numpy()
    np.testing.assert_allclose(found, net.predict(x, verbose=0), rtol=1e-5)
    made = side.explainer(attributions.contributions)(None, z, [0, 1, 2])
    ours = attributions.contributions(net, x, np.array([0, 1, 2]))
    np.testing.assert_allclose(made, np.moveaxis(ours, -1, 1), rtol=1e-3, atol=1e-4)


@pytest.mark.only("torch")
def test_quantus_gives_a_linear_net_the_scores_of_the_truth(rng):
    pytest.importorskip("quantus")
    net, x = linear(), rng.normal(size=(4, 8, 8, 2)).astype("float32")
    y = np.array([0, 1, 2, 3])
    methods = {
        "true": attributions.contributions,
        "blind": lambda n, x, t: np.random.default_rng(0).normal(size=x.shape),
    }
    found = by_quantus.quantus_scores(net, x, y, methods, runs=30)
    true, blind = found["true"], found["blind"]
    assert list(true) == list(by_quantus.MEASURES)
    assert all(len(values) == 4 for values in true.values())
    assert true["faithfulness correlation"].min() > 0.98
    assert blind["faithfulness correlation"].max() < 0.9
    assert (true["infidelity"] < 1e-3 * blind["infidelity"]).all()
    assert true["completeness gap"].max() < 1e-2
    assert blind["completeness gap"].min() > 1e-2


def test_another_backend_and_other_inputs_are_refused():
    if keras.backend.backend() != "torch":
        with pytest.raises(ValueError, match="KERAS_BACKEND=torch"):
            by_quantus.quantus_scores(linear(), np.ones((1, 8, 8, 2)), [0])
    else:
        with pytest.raises(ValueError, match="must take images"):
            by_quantus.quantus_scores(tiny.build("dnn", "fc"), np.ones((1, 4)), [0])
