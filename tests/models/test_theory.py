"""THEORY sections 1 and 2: models against a walk over every path."""

import itertools

import numpy as np
import oracle
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras import paths

PAIRS = list(itertools.product(tiny.FAMILIES, tiny.KINDS))


@pytest.mark.once  # test_families.py holds each backend to the loops held to paths here
@pytest.mark.parametrize(("family", "kind"), [*PAIRS, ("dnn", tiny.MAX_POOL)])
def test_the_logits_are_the_sum_over_all_paths_of_npf_times_npv(family, kind, rng):
    """y = <phi_x, v>: Keras in float32 against a float64 walk (tolerance float32).

    Hard gates for one example, soft gates for another (a DNN's are hard); the value
    input is the image for one family, all ones for the other, in turn.
    """
    options = {}
    if family != "dnn":
        number = PAIRS.index((family, kind))
        options = {"value_input": tiny.value_input(kind, number)}
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 2)
    for example, mode in zip(x, ("hard", "soft"), strict=True):
        made = net.gates(example[None], mode if family != "dnn" else None)
        logits = tiny.value_forward(net, net.value_inputs(example[None]), made)[0]
        if mode == net.gate_mode:
            assert_close(tiny.forward(net, example[None])[0], logits)
        walked = oracle.gates(net, example[None], made=made)[0]
        z = oracle.value_input(net, example[None])[0]
        by_paths = paths.output(oracle.stages(net), z, walked, max_paths=10**5)
        assert_close(logits, by_paths)
        by_loops = oracle.value_logits(net, example[None], made)[0]
        assert_close(by_loops, by_paths, "float64")


@pytest.mark.once
@pytest.mark.parametrize("mode", ["hard", "soft"])
@pytest.mark.parametrize("kind", ["fc", "vgg16", "dense_residual"])
def test_features_and_values_meet_path_by_path_and_a_broken_one_is_seen(
    kind, mode, rng
):
    net = tiny.build("dlgn", kind, gate=mode, beta=3.0, value_bias=True)
    x = tiny.examples(rng, kind, 1)
    network, gates = oracle.stages(net), oracle.gates(net, x)[0]
    logits = tiny.forward(net, x)[0]
    for target in range(tiny.CLASSES):
        phi = paths.npf(network, x[0], gates, target)
        v = paths.npv(network, x[0].shape, target)
        assert phi.keys() == v.keys()
        total = sum(phi[key] * v[key] for key in phi)
        assert_close(logits[target], total)
        largest = max(phi, key=lambda key: abs(phi[key] * v[key]))
        broken = total + 0.5 * phi[largest] * v[largest]
        if abs(broken - total) > 1e-3:
            with pytest.raises(AssertionError):
                assert_close(logits[target], broken)
    wrong = [gate + 0.3 for gate in gates]
    with pytest.raises(AssertionError):
        assert_close(logits, paths.output(network, x[0], wrong))


@pytest.mark.once
def test_an_fc_net_has_d_in_times_width_to_the_sites_paths():
    """MNIST, width 128, five sites: 2.7e13 paths to a class, and a guard."""
    net = dk.DLGN(dk.skeletons.fc(), (28, 28, 1), 10)
    network, x = oracle.stages(net), np.zeros((28, 28, 1))
    number = paths.count_paths(network, x.shape, target=0)
    assert number == 784 * 128**5
    assert f"{number:.1e}" == "2.7e+13"
    with pytest.raises(ValueError, match="at most max_paths"):
        paths.output(network, x, [np.ones(128)] * 5)


@pytest.mark.parametrize("kind", ["fc", "gconv", "vgg16", "resnet"])
def test_a_relu_dnn_is_the_hard_gated_dgn_with_its_own_weights(kind, rng):
    """THEORY 2: an exact dual, told path by path for its own gates."""
    dnn = tiny.build("dnn", kind)
    x = tiny.examples(rng, kind, 4)
    dual = dk.disentangle(dnn)
    logits = dnn.predict(x, verbose=0)
    assert_close(dual.predict(x, verbose=0), logits)
    for site, gate in dual.gates(x).items():
        np.testing.assert_array_equal(gate, dnn.gates(x)[site])
    one = oracle.gates(dual, x)[0]
    assert_close(logits[0], paths.output(oracle.stages(dual), x[0], one))


@pytest.mark.once
def test_dgn_and_dlgn_differ_by_the_relu_of_the_gating_network_alone(rng):
    """One set of weights: the same first site, other pre-activations behind it."""
    nets = {f: tiny.build(f, "fc", gate="hard") for f in ("dgn", "dlgn")}
    nets["dlgn"].set_weights(nets["dgn"].get_weights())
    x = tiny.examples(rng, "fc", 20)
    q = {family: net.pre_activations(x) for family, net in nets.items()}
    np.testing.assert_array_equal(q["dgn"]["dense_1"], q["dlgn"]["dense_1"])
    assert not np.allclose(q["dgn"]["dense_2"], q["dlgn"]["dense_2"])
    relu = np.maximum(q["dgn"]["dense_1"], 0)
    layer = nets["dgn"].parameters("gating")["dense_2"]
    assert_close(q["dgn"]["dense_2"], relu @ layer.kernel + layer.bias)
    linear = q["dlgn"]["dense_1"] @ layer.kernel + layer.bias
    assert_close(q["dlgn"]["dense_2"], linear)
