"""value_norm="scale": a value network without shifts, of which A(x) z is all."""

import json

import keras
import numpy as np
import pytest
import tiny
from tolerances import assert_close
from transposed_oracle import ValueWalk

import dlgn_keras as dk
from dlgn_keras.models.sizes import count_weights


@pytest.mark.parametrize(
    ("family", "kind"), [("dgn", "gconv_valid"), ("dlgn", "resnet")]
)
def test_contributions_are_the_whole_logit_and_with_shifts_they_are_not(
    rng, family, kind
):
    net = tiny.build(family, kind, value_norm="scale")
    x = tiny.examples(rng, kind, 3)
    found = net.explain(x, 1)
    logits = tiny.forward(net, x)
    assert_close(found.contributions.sum((1, 2, 3)), logits[:, 1])
    assert np.abs(found.bias).max() < 1e-6 * np.abs(logits).max()
    assert found.bias_maps() == {}
    walk = ValueWalk(net, x)  # by the layers' numbers, in NumPy
    assert_close(walk.logits, logits)
    assert_close(walk.contributions(np.array([1, 1, 1]))[0], found.contributions)
    assert np.abs(logits).max() > 1e-3
    usual = tiny.build(family, kind)
    assert np.abs(usual.explain(x, 1).bias).max() > 1e-3
    assert count_weights(type(net), net.get_config()) == net.count_params()
    assert count_weights(type(usual), usual.get_config()) == usual.count_params()


def test_it_trains_saves_and_is_a_field_of_a_recipe(rng, tmp_path):
    recipe = dk.training.Recipe("dlgn", "fc:depth=1,width=4", value_norm="scale")
    assert dk.training.Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["value_norm"] == "scale"
    net = tiny.build("dlgn", "resnet", value_norm="scale")
    x, y = tiny.examples(rng, "resnet", 8), rng.integers(0, 2, 8)
    norm = net.network_layers("value")["conv_1"].batch_norm
    before = keras.ops.convert_to_numpy(norm.moving_variance)
    net.compile("sgd", "mse")
    net.fit(x, np.eye(2)[y], epochs=1, verbose=0)
    assert (
        np.abs(keras.ops.convert_to_numpy(norm.moving_variance) - before).max() > 1e-6
    )
    saved = tiny.build("dlgn", "resnet", value_norm="scale")
    again = dk.from_preset(saved.save_to_preset(tmp_path / "saved"))
    assert again.arguments["value_norm"] == "scale"
    assert_close(tiny.forward(again, x), tiny.forward(saved, x))


def test_the_layer_divides_by_the_root_of_the_mean_square(rng):
    layer = dk.layers.ScaleNorm()
    z = rng.normal(1, 2, (50, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(layer(z, training=True))
    assert_close(found, z / np.sqrt((z.astype(float) ** 2).mean(0) + 1e-5))
    kept = 0.9 + 0.1 * (z.astype(float) ** 2).mean(0)
    assert_close(keras.ops.convert_to_numpy(layer.moving_variance), kept)
    assert_close(keras.ops.convert_to_numpy(layer(z)), z / np.sqrt(kept + 1e-5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"value_norm": "none"}, "`value_norm` must be one of batch, scale"),
        ({"value_norm": "scale", "value_bias": True}, "leave value_bias False"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dk.DLGN("fc:depth=1,width=4", (3,), 2, **options)
