"""The enumerated output against direct forward passes and Keras itself."""

import keras
import numpy as np
import pytest
from paths.forward import forward
from paths.networks import CLOSE, NAMES, examples, make

from dlgn_keras import paths
from dlgn_keras.paths import AveragePool, Conv


def replaced(network, position, **fields):
    """The network with other fields in one stage."""
    old = network[position]
    stage = type(old)(**{**vars(old), **fields})
    return [*network[:position], stage, *network[position + 1 :]]


@pytest.mark.parametrize("name", NAMES)
def test_output_is_the_forward_pass_at_any_real_gates(name):
    network, shape = make(name)
    x, _, gates, _ = examples(network, shape)
    y, _ = forward(network, x, gates)
    np.testing.assert_allclose(paths.output(network, x, gates), y, **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_relu_network_is_the_enumeration_fed_with_its_own_gates(name):
    network, shape = make(name)
    x, *_ = examples(network, shape)
    y, gates = forward(network, x)
    np.testing.assert_allclose(paths.output(network, x, gates), y, **CLOSE)
    turned = [1 - gate for gate in gates]
    assert not np.allclose(paths.output(network, x, turned), y, **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_output_is_the_inner_product_of_features_and_values(name):
    network, shape = make(name)
    x, _, gates, _ = examples(network, shape)
    y, _ = forward(network, x, gates)
    for unit in np.ndindex(*y.shape):
        phi = paths.npf(network, x, gates, unit)
        v = paths.npv(network, shape, unit)
        assert phi.keys() == v.keys()
        total = sum(phi[key] * v[key] for key in phi)
        np.testing.assert_allclose(total, y[unit], **CLOSE)


@pytest.mark.parametrize(("name", "position"), [("fc", 0), ("conv_norm", 3)])
def test_one_perturbed_weight_is_seen(name, position):
    network, shape = make(name)
    x, _, gates, _ = examples(network, shape)
    kernel = network[position].kernel.copy()
    kernel.flat[1] += 1e-3
    twin = replaced(network, position, kernel=kernel)
    y, _ = forward(network, x, gates)
    assert not np.allclose(paths.output(twin, x, gates), y, **CLOSE)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 4), (5, 2)])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_windows_are_those_of_keras(size, strides, padding):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (5, 6, 2)).astype("float32")  # whole: exact in float32
    kernel = rng.integers(-4, 5, (*size, 2, 2)).astype("float32")
    options = {"strides": strides, "padding": padding}

    def convolved(image, kernel):
        y = keras.ops.conv(image[None], kernel, **options, data_format="channels_last")
        return keras.ops.convert_to_numpy(y)[0]

    conv = paths.output([Conv(kernel, **options)], x, [])
    np.testing.assert_array_equal(conv, convolved(x, kernel))
    # sum over count: Keras' own "same" average counts padding on PyTorch (#23233)
    ones = np.ones((*size, 1, 1)) * np.eye(2)
    mean = convolved(x, ones.astype("float32"))
    mean /= convolved(np.ones_like(x), ones.astype("float32"))
    pool = paths.output([AveragePool(size, **options)], x, [])
    np.testing.assert_allclose(pool, mean, rtol=1e-6, atol=1e-6)
