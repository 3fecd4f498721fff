"""Regimes: how a gating network is made, and that a frozen one stays as it is."""

import keras
import numpy as np
import pytest
from contracts import moved, values
from few_digits import digits

import dlgn_keras as dk
from dlgn_keras.training import Recipe, build_model, fit, load_trained

SKELETON = dk.skeletons.fc(2, 6, batch_norm=True)


def recipe(**changes):
    plain = {"skeleton": SKELETON, "family": "dgn", "epochs": 1, "gating_bias": False}
    return Recipe(**{**plain, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a trained DNN with batch norm."""
    folder = tmp_path_factory.mktemp("dnn")
    fit(recipe(family="dnn"), folder, dataset=digits(), progress=False)
    return folder


def network(net, which):
    """{stage: list of arrays} of the "gating" or the "value" network."""
    layers = net.network_layers(which).items()
    return {name: layer.get_weights() for name, layer in layers if layer.weights}


def equal(ours, theirs, stages=("dense_1", "dense_2")):
    return all(
        np.array_equal(a, b)
        for stage in stages
        for a, b in zip(ours[stage], theirs[stage], strict=True)
    )


@pytest.mark.parametrize("family", ["dgn", "dlgn"])
@pytest.mark.parametrize("regime", ["frnpf_ii", "frnpf_di", "flnpf"])
def test_training_moves_no_weight_and_no_average_of_a_frozen_gating_network(
    family, regime, trained
):
    chosen = recipe(
        family=family,
        regime=regime,
        gates_from=str(trained) if regime == "flnpf" else None,
    )
    start = build_model(chosen, digits())
    before = values(start.weights)
    net = fit(chosen, dataset=digits(), progress=False).model
    # `build_model` draws the same weights for the same seed: a recipe is a run.
    changed = {path.partition("/")[0] for path in moved(before, values(net.weights))}
    assert changed == {"value_network"}
    assert equal(network(start, "gating"), network(net, "gating"))
    value = {path for path in moved(before, values(net.weights))}
    assert any("moving_mean" in path for path in value)


@pytest.mark.once
def test_joint_training_moves_both_networks_with_their_averages():
    chosen = recipe()
    before = values(build_model(chosen, digits()).weights)
    after = values(fit(chosen, dataset=digits(), progress=False).model.weights)
    assert moved(before, after) == set(before)


@pytest.mark.once
def test_di_starts_from_the_value_networks_own_start_and_ii_does_not():
    for regime, alike in (("frnpf_di", True), ("frnpf_ii", False)):
        net = build_model(recipe(regime=regime), digits())
        assert equal(network(net, "gating"), network(net, "value")) == alike
        joint = build_model(recipe(), digits())
        assert equal(network(net, "value"), network(joint, "value"))


@pytest.mark.once
def test_flnpf_copies_the_trained_dnn_batch_norm_and_all(trained):
    net = build_model(recipe(regime="flnpf", gates_from=str(trained)), digits())
    dnn = load_trained(str(trained))
    assert equal(network(net, "gating"), network(dnn, "value"))
    x = digits().x_test[:9]
    for site, gates in dnn.gates(x).items():
        np.testing.assert_array_equal(net.gates(x)[site], gates)
    fresh = build_model(recipe(), digits())
    assert equal(network(net, "value"), network(fresh, "value"))
    assert not equal(network(net, "value"), network(dnn, "value"))


@pytest.mark.once
def test_flnpf_copies_the_gating_network_of_a_trained_pair(tmp_path):
    fit(recipe(), tmp_path, dataset=digits(), progress=False)
    net = build_model(recipe(regime="flnpf", gates_from=str(tmp_path)), digits())
    pair = load_trained(str(tmp_path / "model.keras"))
    assert equal(network(net, "gating"), network(pair, "gating"))
    assert not equal(network(net, "gating"), network(pair, "value"))


@pytest.mark.once
def test_every_argument_of_the_recipe_reaches_the_model():
    net = build_model(
        recipe(
            family="dlgn",
            gate="straight_through",
            beta=7.0,
            gate_scale=1.1,
            value_input="ones",
            gate_order=(1, 0),
            shallow=True,
            value_bias=True,
            batch_norm=False,
            kernel_initializer="glorot_uniform",
            seed=5,
        ),
        digits(),
    )
    found = net.arguments
    assert (found["gate"], found["beta"], found["gate_scale"]) == (
        "straight_through", 7.0, 1.1,
    )  # fmt: skip
    assert (found["value_input"], tuple(found["gate_order"])) == ("ones", (1, 0))
    assert (found["shallow"], found["value_bias"]) == (True, True)
    assert found["gating_bias"] is False
    assert (found["kernel_initializer"], found["seed"]) == ("glorot_uniform", 5)
    assert net.skeleton == SKELETON.with_batch_norm(False)
    assert net.preprocessing == digits().preprocessing


@pytest.mark.once
def test_a_source_that_is_none_is_refused_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="No saved model"):
        load_trained(str(tmp_path))
    torn = tmp_path / "model.keras"
    fit(recipe(), tmp_path, dataset=digits(), progress=False)
    whole = torn.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no zip at all"):
        torn.write_bytes(damaged)
        with pytest.raises(ValueError, match="is no whole saved model") as caught:
            load_trained(str(tmp_path))
        assert "\n" not in str(caught.value)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(torn)
    with pytest.raises(ValueError, match="must hold a dlgn_keras model"):
        load_trained(str(torn))


@pytest.mark.once
def test_gates_of_another_architecture_are_refused(tmp_path):
    other = recipe(family="dnn", skeleton=dk.skeletons.fc(2, 5, batch_norm=True))
    fit(other, tmp_path, dataset=digits(), progress=False)
    with pytest.raises(ValueError, match="Weights can be copied between equal"):
        build_model(recipe(regime="flnpf", gates_from=str(tmp_path)), digits())
