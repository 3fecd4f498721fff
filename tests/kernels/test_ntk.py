"""The neural tangent kernel against exact differences and its mean over signs."""

import itertools
import sys

import numpy as np
import oracle
import pytest
import tiny
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import kernels
from dlgn_keras.autodiff import per_example_gradients
from dlgn_keras.kernels.tiles import read_examples
from dlgn_keras.skeletons import Conv, Dense, GlobalPool, Residual, Skeleton


def differences(net, x, gates, logit, step=0.5):
    """d logit / d weight for every trainable number of the value network, float64.

    At fixed gates the logit is affine in each weight alone, so the quotient is
    exact for a step of any size.
    """
    model = net.value_network
    columns = []
    for variable in model.trainable_variables:
        start = np.array(variable.numpy() if hasattr(variable, "numpy") else variable)
        column = np.zeros((len(x), start.size))
        for k in range(start.size):
            logits = []
            for sign in (1, -1):
                moved = start.astype("float64").ravel()
                moved[k] += sign * step
                variable.assign(moved.reshape(start.shape))
                logits.append(oracle.value_logits(net, x, gates)[:, logit])
            column[:, k] = (logits[0] - logits[1]) / (2 * step)
        variable.assign(start)
        columns.append(column)
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize("kind", ["gconv_valid", "dense_residual", "sequence"])
def test_gradients_are_exact_differences_and_not_zero(kind, rng):
    net = tiny.build("dlgn", kind, value_bias=True)
    x = tiny.examples(rng, kind, 3)
    made = read_examples(net, x)
    found = per_example_gradients(net.value_network)([made.inputs, made.gates], 1)
    found = np.concatenate([g.reshape(len(x), -1) for g in found], axis=1)
    expected = differences(net, x, made.gates, 1)
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 1e-3
    assert_close(found, expected)


def test_ntk_is_the_product_of_jacobians_of_all_or_one_logit(rng):
    net = tiny.build("dgn", "gconv")
    x = tiny.examples(rng, "gconv", 5)
    gates = read_examples(net, x).gates
    jacobians = [differences(net, x, gates, k) for k in range(2)]
    each = [j @ j.T for j in jacobians]
    assert_close(kernels.ntk(net, x, batch_size=2), each[0] + each[1])
    assert_close(kernels.ntk(net, x[:2], x, output=1, batch_size=3), each[1][:2])
    assert distance(kernels.ntk(net, x, output=0), each[1]) > 1e-3


def test_full_kernel_adds_the_gating_networks_part_through_soft_gates_only(rng):
    x = tiny.examples(rng, "fc", 3)
    for gate, adds in (("soft", True), ("hard", False)):
        net = tiny.build("dlgn", "fc", gate=gate, seed=0)
        rest = kernels.ntk(net, x, network="full") - kernels.ntk(net, x)
        scale = np.abs(kernels.ntk(net, x)).max() + 1e-12
        assert (np.abs(rest).max() > 1e-2 * scale) == adds
        if adds:
            assert np.linalg.eigvalsh(rest).min() > -1e-4 * scale


@pytest.mark.once
def test_full_kernel_of_a_dnn_is_its_value_kernel(rng):
    net = tiny.build("dnn", "gconv")
    x = tiny.examples(rng, "gconv", 3)
    assert_close(kernels.ntk(net, x, network="full"), kernels.ntk(net, x))


def test_frozen_gating_network_adds_nothing(rng):
    net = tiny.build("dlgn", "fc")
    x = tiny.examples(rng, "fc", 3)
    net.gating_network.trainable = False
    assert_close(kernels.ntk(net, x, network="full"), kernels.ntk(net, x))


MEAN = {
    # skeleton, input shape, weight layers on the path of each sub-network
    "fc": (Skeleton((Dense(2), Dense(1))), (2,)),
    "conv": (
        Skeleton((Conv(1, 2, padding="circular"), Conv(1, 2), GlobalPool())),
        (3, 1),
    ),
    "residual": (
        Skeleton((Dense(2), Residual((Dense(1), Dense(2, gated=False))))),
        (1,),
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("kind", MEAN)
def test_mean_ntk_over_all_signs_is_the_constant_times_the_npk(kind, rng):
    """E[K_v] = (sum_l prod_{k != l} s_k^2) H; skips: sum_J n_J s^{2 (n_J - 1)} H_J."""
    skeleton, shape = MEAN[kind]
    net = dk.DLGN(skeleton, shape, num_classes=1, seed=0)
    x = tiny.examples(rng, (None, shape), 2)
    made = read_examples(net, x)
    gradients = per_example_gradients(net.value_network)
    variables = net.value_network.trainable_variables
    kernels_ = [v for v in variables if "kernel" in v.path]
    deviations = [0.5 + 0.25 * k for k in range(len(kernels_))]
    sizes = [int(np.prod(v.shape)) for v in kernels_]
    total, number = 0.0, 0
    for signs in itertools.product([-1.0, 1.0], repeat=sum(sizes)):
        ends = np.cumsum([0, *sizes])
        for k, v in enumerate(kernels_):
            part = np.array(signs[ends[k] : ends[k + 1]]) * deviations[k]
            v.assign(part.reshape(v.shape))
        found = gradients([made.inputs, made.gates], 0)
        flat = np.concatenate([g.reshape(2, -1) for g in found], 1).astype(float)
        total, number = total + flat @ flat.T, number + 1
    full = [d**2 for d in deviations]

    def constant(layers):
        return sum(np.prod(layers) / s for s in layers)

    if kind != "residual":
        expected = constant(full) * kernels.npk(net, x)
    else:
        g = [v.astype(float) for v in made.gates.values()]
        start = x.astype(float) @ x.T
        skip = start * ((g[0] * g[2]) @ (g[0] * g[2]).T)
        body = start * (g[0] @ g[0].T) * (g[1] @ g[1].T) * (g[2] @ g[2].T)
        assert_close(skip + body, kernels.npk(net, x), "float64")
        short = [deviations[0] ** 2, deviations[-1] ** 2]
        expected = constant(full) * body + constant(short) * skip
    assert_close(total / number, expected)
    assert distance(total / number, expected / constant(full)) > 1e-3


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "gating"}, "`network` must be one of value, full"),
        ({"output": 2}, "`output` must be 'sum' or a logit from 0 to 1"),
        ({"network": "full", "mode": "hard"}, "`mode` must be the model's own gate"),
    ],
)
def test_bad_options_are_named(options, message):
    net = tiny.build("dlgn", "fc")
    with pytest.raises(ValueError, match=message):
        kernels.ntk(net, np.zeros((1, 4)), **options)


@pytest.mark.once
def test_memory_is_said_before_it_is_needed(monkeypatch):
    net = tiny.build("dlgn", "fc")
    x = np.zeros((5, 4), "float32")
    weights = sum(int(np.prod(v.shape)) for v in net.value_network.trainable_variables)
    needed = 20 * 32 * weights + 8 * 25
    assert kernels.ntk(net, x, memory=needed).shape == (5, 5)
    module = sys.modules[kernels.ntk.__module__]
    monkeypatch.setattr(module, "per_example_gradients", None)
    with pytest.raises(ValueError, match=r"kernel of shape \(5, 5\) needs .* KiB"):
        kernels.ntk(net, x, memory=needed - 1)
    with pytest.raises(ValueError, match="`memory` must be a number of bytes"):
        kernels.ntk(net, x, memory=True)
