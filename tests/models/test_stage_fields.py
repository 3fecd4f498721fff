"""Dilation, groups and max pools: models against paths, and saved files."""

import dataclasses
import json

import keras
import numpy as np
import oracle
import pytest
import tiny
from contracts import EAGERLY
from kernels import by_paths
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import kernels
from dlgn_keras.kernels.tiles import read_examples
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Flatten,
    MaxPool,
    Skeleton,
)
from dlgn_keras.skeletons.stages import rebuild


def build(family, field, **options):
    """A model of a kind; a DLGN's gating network averages where the others pool."""
    if field.startswith("max_pool") and family == "dlgn":
        options["max_pool"] = "average"
    return tiny.build(family, tiny.FIELDS[field], **options)


def without(field, kind):
    """The kind with the field at its default."""

    def plain(stage):
        if isinstance(stage, MaxPool):
            return AveragePool(stage.pool_size, stage.name)
        if isinstance(stage, Conv) and not field.startswith("max_pool"):
            return dataclasses.replace(stage, **{field.partition("_")[0]: 1})
        return stage

    skeleton, shape = kind
    return Skeleton(rebuild(skeleton.stages, plain), skeleton.name), shape


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("field", tiny.FIELDS)
def test_models_are_the_sum_over_paths_and_the_kernel_their_overlap(field, family, rng):
    net = build(family, field)
    x = tiny.examples(rng, tiny.FIELDS[field], 2)
    assert_close(tiny.forward(net, x), oracle.logits_by_paths(net, x))
    assert_close(tiny.forward(net, x), oracle.value_logits(net, x, net.gates(x)))
    gates = read_examples(net, x).gates
    gram = by_paths.gram(by_paths.features(net, x, made=gates))
    assert_close(kernels.npk(net, x), gram, "float64")
    single = kernels.npk(net, x, executor=kernels.DeviceExecutor(dtype="float32"))
    assert_close(single, gram)


@pytest.mark.once
@pytest.mark.parametrize("field", tiny.FIELDS)
def test_a_model_that_ignores_the_field_is_seen(field, rng):
    """Broken twin: the same weights where shapes allow it, the field left out."""
    net = build("dlgn", field, beta=0.25)
    x = tiny.examples(rng, tiny.FIELDS[field], 2)
    gram = kernels.npk(net, x)
    skeleton, shape = without(field, tiny.FIELDS[field])
    twin = dk.DLGN(skeleton, shape, tiny.CLASSES, beta=0.25)
    assert distance(kernels.npk(twin, x), gram) > 1e-3


@pytest.mark.once
@pytest.mark.parametrize("field", tiny.FIELDS)
def test_random_features_estimate_the_kernel(field, rng):
    net = build("dgn", field)
    x = tiny.examples(rng, tiny.FIELDS[field], 2)
    found = kernels.npk_estimate(net, x, num_features=240)
    gram, bound = kernels.npk(net, x), 5 * found.standard_error + 1e-9
    assert (np.abs(found.gram - gram) < bound).all()
    assert not (np.abs(found.gram - 2 * gram) < bound).all()


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("field", tiny.FIELDS)
def test_models_train_save_and_load(field, family, rng, tmp_path):
    net = build(family, field)
    x = tiny.examples(rng, tiny.FIELDS[field], 4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("sgd", loss, run_eagerly=EAGERLY)
    net.fit(x, np.arange(4) % 2, epochs=1, verbose=0)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert again.skeleton == net.skeleton
    assert_close(tiny.forward(again, x), tiny.forward(net, x))


@pytest.mark.once
@pytest.mark.parametrize("field", ["dilation", "groups", "groups_flat"])
def test_json_holds_the_field_only_where_it_is_set(field):
    skeleton, _ = tiny.FIELDS[field]
    field = field.partition("_")[0]
    config = json.loads(skeleton.to_json())
    assert config["stages"][0][field] == getattr(skeleton.stages[0], field)
    assert Skeleton.from_config(config) == skeleton
    old = {"kind": "conv", "filters": 4, "name": "conv_1"}
    plain = Skeleton((Conv(4), Flatten()))
    assert field not in plain.to_json()
    for conv in (old, old | {field: 1}):
        assert Skeleton.from_config({"stages": [conv, {"kind": "flatten"}]}) == plain


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(4, dilation=0), "`dilation` must be .*dilation=0"),
        (lambda: Conv(4, strides=2, dilation=2), "`dilation` must be 1 .*strides=2"),
        (lambda: Conv(4, groups=3), "`groups` must divide .*groups=3, filters=4"),
        (
            lambda: dk.layers.GatedConv1D(4, 3, groups=3),
            "`groups` must divide .*groups=3, filters=4",
        ),
        (
            lambda: dk.skeletons.output_shapes(
                Skeleton((Conv(4, groups=2), Flatten())), (6, 3)
            ),
            r"`groups` of 'conv_1' must divide .*groups=2, shape \(6, 3\)",
        ),
        (
            lambda: dk.DLGN(
                Skeleton((Conv(4, groups=2), Flatten())), (6, 2), 2, shallow=True
            ),
            r"Shallow gating .* 'conv_1' \(Conv\) with groups=2: one convolution",
        ),
        (
            lambda: dk.layers.GatedConv2D(4, 3, strides=2, dilation_rate=2),
            "`dilation_rate` must be 1 .*strides=2",
        ),
        (
            lambda: dk.skeletons.output_shapes(
                Skeleton((Conv(4, padding="valid", dilation=3), Flatten())), (6, 6, 1)
            ),
            "'conv_1' has a window of 7",
        ),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.once
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_gates_of_a_max_pool_select_the_largest_pre_activation(family, rng):
    net = build(family, "max_pool")
    x = tiny.examples(rng, tiny.FIELDS["max_pool"], 3)
    gates, q = net.gates(x, "hard"), oracle.pre_activations(net, x)
    assert dict(net.sites) == {name: gate.shape[1:] for name, gate in gates.items()}
    for name in ("max_pool_1", "max_pool_2", "max_pool_3"):
        assert np.array_equal(gates[name], oracle.selection(q[name])), name
    soft = net.gates(x, "soft")["max_pool_1"]
    np.testing.assert_allclose(soft.sum(-1), 1, rtol=1e-5)
    assert gates["max_pool_1"].shape == (3, 2, 2, 2, 4)


@pytest.mark.once
def test_another_selection_is_seen(rng):
    """Broken twin: the last entry of each window in place of the largest one."""
    net = build("dgn", "max_pool", gate="hard")
    x = tiny.examples(rng, tiny.FIELDS["max_pool"], 3)
    gates = net.gates(x)
    logits = tiny.value_forward(net, net.value_inputs(x), gates)
    assert_close(logits, tiny.forward(net, x))
    wrong = {**gates, "max_pool_1": np.roll(gates["max_pool_1"], 1, -1)}
    assert distance(tiny.value_forward(net, net.value_inputs(x), wrong), logits) > 1e-3


@pytest.mark.once
def test_the_dual_of_a_network_with_max_pools_is_exact(rng):
    dnn = build("dnn", "max_pool")
    x = tiny.examples(rng, tiny.FIELDS["max_pool"], 4)
    dual = dk.disentangle(dnn)
    assert_close(tiny.forward(dual, x), tiny.forward(dnn, x))
    assert_close(kernels.npk(dual, x), kernels.npk(dnn, x))
    with pytest.warns(UserWarning, match="max_pool_1, max_pool_2, max_pool_3"):
        twin = dk.disentangle(dnn, "dlgn")
    assert twin.arguments["max_pool"] == "average"
    assert distance(tiny.forward(twin, x), tiny.forward(dnn, x)) > 1e-3
    again = dk.DLGN.from_config(twin.get_config())
    assert again.sites == twin.sites


@pytest.mark.once
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_without_its_selections_a_logit_loses_what_they_contribute(family, rng):
    net = build(family, "max_pool_of_equals")
    x = tiny.examples(rng, tiny.FIELDS["max_pool_of_equals"], 3)
    found = dk.interpret.gate_contributions(net, x, 1)["max_pool_1"]
    gates, z = net.gates(x), net.value_inputs(x)
    closed = {**gates, "max_pool_1": 0 * gates["max_pool_1"]}
    lost = tiny.value_forward(net, z, gates) - tiny.value_forward(net, z, closed)
    assert np.abs(lost[:, 1]).max() > 1e-3
    assert_close(found.reshape(3, -1).sum(1), lost[:, 1])


@pytest.mark.once
def test_a_max_pool_has_no_filter_of_its_own():
    net = build("dlgn", "max_pool_of_equals")
    assert list(dk.interpret.all_gate_filters(net)) == ["conv_2"]
    with pytest.raises(ValueError, match=r"`site` must be .*'max_pool_1'"):
        dk.interpret.gate_filters(net, "max_pool_1")
