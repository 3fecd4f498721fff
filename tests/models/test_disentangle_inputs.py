"""Models of several inputs: contributions of each, which add up together."""

import foreign
import keras
import numpy as np
import pytest
import tiny
from keras import layers
from tolerances import assert_close, distance

import dlgn_keras as dk

SHAPES = {"picture": (5, 4, 1), "table": (3,)}


def model_of(packing):
    """A picture and a table, met in the middle; `packing` is dict or list."""
    picture, table = (keras.Input(shape, name=name) for name, shape in SHAPES.items())
    conv = layers.Conv2D(3, 3, activation="relu", data_format="channels_last")
    x = layers.Flatten()(conv(picture))
    x = layers.Concatenate()([x, layers.Dense(4, activation="relu")(table)])
    x = layers.Dense(3)(layers.Dense(6, activation="relu")(x))
    inputs = {"picture": picture, "table": table}
    model = keras.Model(inputs if packing is dict else [picture, table], x)
    tiny.shake(model)
    return model


def inputs_of(packing, rng, n=3):
    given = {name: rng.normal(size=(n, *s)).astype("f4") for name, s in SHAPES.items()}
    return given if packing is dict else list(given.values())


@pytest.mark.parametrize("packing", [dict, list])
def test_contributions_of_all_inputs_add_up(packing, rng, tmp_path):
    model = model_of(packing)
    twin = dk.disentangle(model)
    x = inputs_of(packing, rng)
    found = twin.explain(x, target=1)
    assert_close(found.logits, model.predict(x, verbose=0))
    parts = keras.tree.flatten(found.contributions)
    assert type(found.contributions) is packing
    assert [part.shape[1:] for part in parts] == list(SHAPES.values())
    total = sum(part.reshape(3, -1).sum(axis=1) for part in parts) + found.bias
    assert_close(total, found.logits[:, 1])
    # Each entry is what the logit loses at the same gates without it.
    z, gates = twin.value_inputs(x), twin.gates(x)
    for which, spot in enumerate([(slice(None), 2, 1, 0), (slice(None), 2)]):
        without = keras.tree.map_structure(np.copy, z)
        keras.tree.flatten(without)[which][spot] = 0
        fall = (
            found.logits[:, 1]
            - twin.value_network.predict([without, gates], verbose=0)[:, 1]
        )
        assert np.abs(fall).max() > 1e-3
        assert_close(fall, parts[which][spot])
    again = keras.models.load_model(save(twin, tmp_path))
    assert_close(again.explain(x, target=1).logits, found.logits)
    foreign.flip(twin.value_network)
    assert distance(twin.explain(x, 1).logits, found.logits) > 1e-3


def save(twin, folder):
    twin.save(folder / "twin.keras")
    return folder / "twin.keras"


def test_inputs_that_do_not_fit_are_refused(rng, tmp_path):
    twin = dk.disentangle(model_of(dict))
    x = inputs_of(dict, rng)
    for wrong, match in (
        (
            x["picture"],
            "must be a dict of the inputs picture, table.*Received: ndarray",
        ),
        ({"picture": x["picture"]}, "must be a dict of the inputs"),
        ({**x, "table": x["table"][:2]}, "equally many examples.*Received: 3, 2"),
        ({**x, "table": x["picture"]}, r"`table` must have shape \(n, 3\)"),
    ):
        with pytest.raises(ValueError, match=match):
            twin.explain(wrong)
    with pytest.raises(ValueError, match="must take one input"):
        dk.interpret.report(twin, x, tmp_path / "page.html")
    with pytest.raises(ValueError, match="must be of one input"):
        twin.explain(x).plot(x["picture"])
