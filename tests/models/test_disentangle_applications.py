"""disentangle on the architectures everybody has: keras.applications, random weights.

By default on PyTorch alone, whose eager calls compile nothing; `-m slow` elsewhere.
"""

import contextlib

import foreign
import keras
import numpy as np
import pytest
import tiny
from keras import layers

import dlgn_keras as dk

if keras.backend.backend() != "torch":
    pytestmark = pytest.mark.slow

LAST = {"data_format": "channels_last"}
RELATIVE = 1e-4  # what an exact dual is promised within, a hundred layers deep
# name -> (options, gates in the network, max poolings among them)
MODELS = {
    "resnet_v2": ({}, 9, 2),
    "VGG16": ({}, 20, 5),
    "ResNet50": ({}, 50, 1),
    "ResNet50V2": ({}, 53, 4),
    "MobileNetV2": ({"alpha": 0.35}, 70, 0),
}
# A ReLU after the sum has cheaper cases in test_disentangle.py: `hub` and "resnet";
# one before the convolutions has `resnet_v2` here.
SLOW = ("ResNet50", "ResNet50V2")
MARKED = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in MODELS
]


def resnet_v2(input_shape, classes):
    """ResNet50V2 in small: two of its blocks, the second with a stride."""

    def normal(x):
        return layers.Activation("relu")(layers.BatchNormalization(epsilon=1e-5)(x))

    def convolve(x, filters, size=1, strides=1):
        x = layers.ZeroPadding2D(size // 2, **LAST)(x)
        return layers.Conv2D(filters, size, strides, **LAST)(x)

    inputs = keras.Input(input_shape)
    x = layers.ZeroPadding2D(1, **LAST)(convolve(inputs, 4, 7, 2))
    x = layers.MaxPooling2D(3, 2, **LAST)(x)
    for strides in (1, 2):
        y = normal(x)
        first = strides == 1
        x = convolve(y, 8) if first else layers.MaxPooling2D(1, strides, **LAST)(x)
        y = normal(convolve(y, 4))
        y = normal(convolve(y, 4, 3, strides))
        x = layers.Add()([x, convolve(y, 8)])
    x = layers.GlobalAveragePooling2D(**LAST)(normal(x))
    outputs = layers.Dense(classes, activation="softmax")(x)
    return keras.Model(inputs, outputs, name="resnet_v2")


@pytest.fixture(scope="module", params=MARKED)
def case(request):
    """(name, model, its dual, inputs, logits by Keras alone), statistics calibrated."""
    options = MODELS[request.param][0]
    if request.param == "resnet_v2":
        model = resnet_v2((48, 48, 3), 7)
    else:
        model = getattr(keras.applications, request.param)(
            weights=None, input_shape=foreign.image(48, 3), classes=7, **options
        )
    rng = np.random.default_rng(request.config.seed)
    x = rng.uniform(-50, 50, size=(3, *model.input_shape[1:])).astype("float32")
    calibrate(model, x)
    return request.param, model, dk.disentangle(model), x, foreign.logits(model, x)


def calibrate(model, x):
    """Give batch norm the statistics of x: otherwise the signal dies in deep nets."""
    tiny.shake(model, 0.1)
    norms = (keras.layers.BatchNormalization,)
    norms = [layer for layer in model.layers if isinstance(layer, norms)]
    before = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(keras.ops.convert_to_tensor(x), training=True)
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum


def error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_the_dual_has_the_logits_and_a_perturbed_one_not(case):
    name, _, twin, x, logits = case
    assert len(twin.sites) == MODELS[name][1]
    assert [s.kind for s in twin.source_graph.steps].count("pool") == MODELS[name][2]
    assert error(tiny.forward(twin, x), logits) < RELATIVE
    kernel = foreign.flip(twin.gating_network)
    assert error(tiny.forward(twin, x), logits) > 10 * RELATIVE
    kernel.assign(kernel / -0.9)


def test_contributions_and_bias_make_the_logit(case):
    _, _, twin, x, logits = case
    found = twin.explain(x[:1], target=3)
    assert found.contributions.shape == x[:1].shape
    total = found.contributions.sum(dtype="float64") + found.bias[0]
    assert error(total, logits[0, 3]) < RELATIVE * max(
        1, np.abs(found.contributions).sum() / abs(logits[0, 3])
    )


def test_a_linear_gating_network_averages_where_the_model_takes_maxima(case):
    name, model, _, x, _ = case
    pools = MODELS[name][2]
    told = pytest.warns(UserWarning, match="max pooling becomes average pooling")
    with told if pools else contextlib.nullcontext():
        twin = dk.disentangle(model, "dlgn")
    assert len([k for k in twin.replacements if k != "output"]) == pools
    network = twin.gating_network
    zero = np.zeros_like(x[:1])
    q = [
        network(keras.ops.convert_to_tensor(z))
        for z in (x[:1], x[1:2], x[:1] + x[1:2], zero)
    ]
    for site in q[0]:
        a, b, both, none = (
            np.asarray(keras.ops.convert_to_numpy(part[site]), "float64") for part in q
        )
        gap = np.abs(a + b - both - none).max()
        assert gap < RELATIVE * np.abs([a, b, both]).max(), site
    assert np.isfinite(tiny.forward(twin, x)).all()
