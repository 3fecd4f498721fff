"""Bias maps: what every shift adds, by layer, place and unit."""

import foreign
import keras
import numpy as np
import oracle
import pytest
import tiny
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import interpret, paths

MODELS = [
    ("dnn", "gconv", {}),
    ("dlgn", "dense_residual", {"value_bias": True}),
    ("dgn", tiny.FIELDS["max_pool"], {"gate": "hard", "value_bias": True}),
]


def by_stage(net, x, i, target, without=None):
    """Terms of the paths that start from a constant, by the number of their stage."""
    found = {}
    z, gates = oracle.value_input(net, x)[i], oracle.gates(net, x)[i]
    for path, term in paths.terms(oracle.stages(net), z, gates, target):
        if path.source is None and without not in [site for site, _ in path.gates]:
            stage = path.key[0].stage
            found[stage] = found.get(stage, 0.0) + term
    return [term for _, term in sorted(found.items()) if term]


@pytest.mark.parametrize(("family", "kind", "options"), MODELS)
def test_maps_are_the_sums_of_the_paths_from_each_shift(rng, family, kind, options):
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 2)
    found = interpret.explain(net, x, [1, 0])
    maps = found.bias_maps()
    sums = {name: m.reshape(2, -1).sum(1) for name, m in maps.items()}
    assert_close(sum(sums.values()), found.bias)
    assert all(name in net.network_layers("value") for name in maps)
    for i, target in enumerate((1, 0)):
        truth = by_stage(net, x, i, target)
        # Batch norm's shift and bias are two stages of one layer: compare their sum,
        # and where there is one stage a layer, each by its size.
        assert_close(sum(s[i] for s in sums.values()), sum(truth))
        if len(truth) == len(sums):
            assert_close(sorted(s[i] for s in sums.values()), sorted(truth))
    site = net.sites[0].name  # behind a site: of the paths that do not cross it
    behind = interpret.explain(net, x, [1, 0], site)
    made = behind.bias_maps()
    assert_close(sum(m.reshape(2, -1).sum(1) for m in made.values()), behind.bias)
    assert site not in made
    assert_close(behind.bias[0], sum(by_stage(net, x, 0, 1, without=0)))
    assert np.abs(found.bias).max() > 1e-2


@pytest.mark.parametrize("name", ["everything", "hub", "shared"])
def test_a_place_is_what_moving_the_shift_there_does(rng, name):
    """By differences: a layer's output moved at one place, in the value network."""
    model = foreign.build(name)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)[:2]
    found = interpret.explain(twin, x, 1)
    maps = found.bias_maps()
    assert_close(sum(m.reshape(2, -1).sum(1) for m in maps.values()), found.bias)
    assert len(maps) > 1
    # The unit with the largest map: its bias taken away takes all its places' terms.
    layers = {
        layer.name: layer
        for layer in twin.value_network.layers
        if getattr(layer, "bias", None) is not None and layer.name in maps
    }
    layer = layers[max(layers, key=lambda k: np.abs(maps[k]).max())]
    calls = [maps[k] for k in (layer.name, f"{layer.name}_2") if k in maps]
    z, gates = twin.value_inputs(x), twin.gates(x)
    before = tiny.value_forward(twin, z, gates)[:, 1]
    bias = keras.ops.convert_to_numpy(layer.bias).copy()
    unit = int(np.abs(calls[0][0]).reshape(-1, len(bias)).max(0).argmax())
    layer.bias.assign(np.where(np.arange(len(bias)) == unit, 0, bias))
    part = before - tiny.value_forward(twin, z, gates)[:, 1]
    assert_close(sum(m[..., unit].reshape(2, -1).sum(1) for m in calls), part)
    assert np.abs(part).max() > 1e-4
    foreign.flip(twin.value_network)
    with pytest.raises(ValueError, match="model has changed"):
        found.bias_maps()


def test_a_net_without_shifts_has_no_maps_and_a_broken_one_has(rng):
    skeleton = dk.skeletons.c4gap(3).with_batch_norm(False)
    net = dk.DLGN(skeleton, (4, 4, 2), 3, seed=0)
    x = rng.normal(size=(2, 4, 4, 2))
    assert interpret.explain(net, x).bias_maps() == {}
    biased = dk.DLGN(skeleton, (4, 4, 2), 3, value_bias=True, seed=0)
    tiny.shake(biased)
    found = interpret.explain(biased, x, against="next")
    maps = found.bias_maps()
    assert maps["conv_2"].shape == (2, 4, 4, 3)
    assert_close(sum(m.reshape(2, -1).sum(1) for m in maps.values()), found.bias)
    del maps["conv_2"]
    assert distance(sum(m.reshape(2, -1).sum(1) for m in maps.values()), found.bias) > 0


def test_maps_of_batches_of_other_sizes_are_the_same(rng):
    # From the second size on TensorFlow traces for any, and knows no batch any more.
    net = tiny.build("dlgn", "fc", value_bias=True)
    x = tiny.examples(rng, "fc", 4)
    whole = interpret.explain(net, x, 1).bias_maps()
    for number in (1, 2):
        part = interpret.explain(net, x[:number], 1).bias_maps()
        for name, values in whole.items():
            assert_close(part[name], values[:number])
