"""Keras models with channels first: read as the same model with channels last."""

import json
import re

import keras
import numpy as np
import pytest
from keras import layers
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras.interpret import attributions, channels, faithfulness

pytestmark = pytest.mark.only("jax", "torch")  # TensorFlow on CPUs cannot convolve so
X = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")
Y = np.array([1, 0])


def network(form):
    """Two convolutions and a head, of the same weights in both formats."""
    first = form == "channels_first"
    options = {"padding": "same", "activation": "relu", "data_format": form}
    draw = np.random.default_rng(1)
    model = keras.Sequential(
        [
            keras.Input((3, 5, 6) if first else (5, 6, 3)),
            layers.Conv2D(4, 3, name="a", **options),
            layers.Conv2D(2, 3, name="b", **options),
            layers.GlobalAveragePooling2D(data_format=form),
            layers.Dense(2),
        ]
    )
    model.set_weights([draw.normal(size=w.shape) for w in model.get_weights()])
    return dk.disentangle(model)


@pytest.fixture(scope="module")
def twins():
    return network("channels_last"), network("channels_first")


def first(x):
    return np.moveaxis(x, -1, 1)


def test_the_axis_of_each_place_is_known(twins):
    last, ahead = twins
    for place in ("input", *dict(last.sites), "a", "b"):
        assert channels.channel_axis(last, place) == -1
    for place in ("input", *dict(ahead.sites), "a", "b"):
        assert channels.channel_axis(ahead, place) == 0
    inputs = keras.Input((5, 6, 3))
    turned = layers.Permute((3, 1, 2))(
        layers.Conv2D(3, 1, activation="relu", data_format="channels_last")(inputs)
    )
    turned = layers.Conv2D(2, 1, activation="relu", data_format="channels_first")(
        turned
    )
    mixed = dk.disentangle(keras.Model(inputs, layers.Flatten()(turned)))
    found = [channels.channel_axis(mixed, s) for s in ("input", *dict(mixed.sites))]
    assert found == [-1, -1, 0]


def test_pictures_are_those_of_the_model_with_channels_last(twins):
    last, ahead = twins
    drawn = [
        [axes.images[0].get_array() for axes in found.plot().axes if axes.images]
        for found in (last.explain(X, Y), ahead.explain(first(X), Y))
    ]
    assert len(drawn[0]) == len(drawn[1]) >= 2 * 4
    for one, other in zip(*drawn, strict=True):
        assert_close(other, one)
    wrong = ahead.explain(first(X), Y)._replace(channels=(-1, -1))
    shapes = {
        axes.images[0].get_array().shape
        for axes in wrong.plot(ladder=False).axes
        if axes.images
    }
    assert (5, 6) not in shapes  # what was drawn before


def test_the_report_shows_the_same_maps(twins, tmp_path):
    pages = []
    for net, x in zip(twins, (X, first(X)), strict=True):
        page = dk.interpret.report(net, x, tmp_path / "page.html").read_text()
        pages.append(page)
    assert re.findall(r"data:image/png[^\"]*", pages[0])
    maps = [json.loads(re.search(r'"maps": (\{.*?\}), "numbers"', p)[1]) for p in pages]
    for key, values in maps[0].items():
        np.testing.assert_allclose(maps[1][key], values, atol=1e-4)


def test_attributions_and_curves_are_the_same(twins):
    last, ahead = twins
    for name, method in attributions.methods_for(last).items():
        ours = method(last, X, Y)
        found = attributions.methods_for(ahead)[name](ahead, first(X), Y)
        np.testing.assert_allclose(found, first(ours), atol=1e-4, err_msg=name)
    curves = faithfulness.deletion_curves
    assert_close(
        curves(ahead, first(X), Y, first(ours), 3), curves(last, X, Y, ours, 3)
    )


def test_filters_of_a_unit_are_the_same(twins):
    last, ahead = twins
    site = last.sites[1][0]
    ours = dk.interpret.local_filters(last, X[0], site, (1, 2))
    found = dk.interpret.local_filters(ahead, first(X)[0], ahead.sites[1][0], (1, 2))
    assert_close(found.rows, first(ours.rows))
    np.testing.assert_allclose(found.offset, ours.offset, atol=1e-4)
