"""as_gated_model: a Keras model's twin on a skeleton, so that kernels read it."""

import warnings

import foreign
import keras
import numpy as np
import pytest
import tiny
from keras import layers
from tolerances import assert_close

import dlgn_keras as dk

LAST = {"data_format": "channels_last"}


def one_number():
    return layers.Rescaling(0.5, offset=0.1)


def by_channel():
    return keras.Sequential(
        [layers.Rescaling(2.0, 0.3), dk.layers.ChannelRescaling([0.5, 0.2], [0.1, -1])]
    )


def residual(rescaling):
    """Two blocks, batch norms with and without what they may have, a rescaling."""
    inputs = keras.Input((6, 6, 2))
    x = rescaling()(inputs)
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, **LAST)(x)
    x = layers.ReLU()(layers.BatchNormalization(epsilon=1e-2)(x))
    y = layers.Conv2D(4, 3, padding="same", activation="relu", **LAST)(x)
    y = layers.Conv2D(4, 3, padding="same", **LAST)(y)
    y = layers.BatchNormalization(scale=False)(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    y = layers.Conv2D(5, 3, strides=2, padding="same", **LAST)(x)
    z = layers.Conv2D(5, 1, strides=2, **LAST)(x)
    x = layers.ReLU()(layers.Add()([z, y]))
    x = layers.GlobalAveragePooling2D(**LAST)(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


@pytest.mark.parametrize("rescaling", [one_number, by_channel])
@pytest.mark.parametrize("family", ["dgn", "dlgn"])
def test_on_a_skeleton_a_twin_has_the_same_logits_gates_and_contributions(
    family, rescaling, rng
):
    model = residual(rescaling)
    tiny.shake(model)
    twin = dk.disentangle(model, family)
    x = foreign.examples(rng, model)
    net = dk.models.as_gated_model(twin)
    assert isinstance(net, dk.models.FAMILIES[family])
    assert_close(tiny.forward(net, x), tiny.forward(twin, x))
    ours, theirs = net.gates(x), twin.gates(x)
    assert len(ours) == len(theirs) == 4
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert_close(one, other)
    assert_close(net.explain(x, 1).contributions, twin.explain(x, 1).contributions)
    gram = dk.kernels.npk(net, x)
    assert gram.shape == (len(x), len(x))
    assert np.linalg.eigvalsh(gram).min() > -1e-9 * np.abs(gram).max()
    assert np.array_equal(dk.kernels.npk(twin, x), gram)


@pytest.mark.parametrize("family", ["dgn", "dlgn"])
def test_a_twin_with_max_pools_goes_onto_a_skeleton(family, rng):
    stack = [
        keras.Input((5, 4, 1)),
        layers.Conv2D(3, 2, padding="same", activation="relu", **LAST),
        layers.MaxPooling2D(2, **LAST),
        layers.Conv2D(2, 2, padding="same", activation="relu", **LAST),
        layers.GlobalAveragePooling2D(**LAST),
        layers.Dense(2),
    ]
    model = keras.Sequential(stack)
    tiny.shake(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the averages of a DLGN
        twin = dk.disentangle(model, family)
    net = dk.models.as_gated_model(twin)
    x = foreign.examples(rng, model)
    assert_close(tiny.forward(net, x), tiny.forward(twin, x))
    ours, theirs = net.gates(x), twin.gates(x)
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert_close(one, other)
    assert dk.kernels.npk(twin, x).shape == (len(x), len(x))


def test_a_dilated_twin_goes_onto_a_skeleton(rng):
    conv = layers.Conv2D(4, 2, dilation_rate=2, activation="relu", **LAST)
    pool = layers.GlobalAveragePooling2D(**LAST)
    model = keras.Sequential([keras.Input((5, 4, 1)), conv, pool, layers.Dense(2)])
    tiny.shake(model)
    net = dk.models.as_gated_model(dk.disentangle(model))
    x = foreign.examples(rng, model)
    assert net.skeleton.stages[0].dilation == 2
    assert_close(tiny.forward(net, x), tiny.forward(model, x))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("everything", "no skeleton: conv_relu6 is another activation than ReLU"),
        ("shared", r"no skeleton: prelu \(PReLU\) is no stage"),
        ("sequence", r"no skeleton: conv1d\S* \(Conv1D\) is no stage"),
        ("hub", r"no skeleton: backbone_stem_padding \(ZeroPadding2D\) is no stage"),
    ],
)
def test_a_graph_that_is_none_is_told_by_its_first_layer(name, message):
    twin = dk.disentangle(foreign.build(name))
    with pytest.raises(ValueError, match=message):
        dk.models.as_gated_model(twin)
