"""The number of paths, and the guard in front of them."""

import numpy as np
import pytest
from paths.networks import NAMES, make

from dlgn_keras import paths
from dlgn_keras.paths import Dense, Gate


@pytest.mark.parametrize("name", NAMES)
def test_counted_paths_are_the_enumerated_ones(name):
    network, shape = make(name)
    walked = list(paths.enumerate_paths(network, shape))
    assert len(walked) == len(set(walked)) == paths.count_paths(network, shape)
    first = [path for path in walked if not any(path.target)]
    target = first[0].target
    assert len(first) == paths.count_paths(network, shape, target)
    assert first == list(paths.enumerate_paths(network, shape, target))


def test_count_of_fc_is_inputs_times_widths():
    network, shape = make("fc_bias", width=4)
    # from the input, then from the biases of each layer, to two outputs
    assert paths.count_paths(network, shape) == 2 * (3 * 4 * 4 + 4 * 4 + 4 + 1)


def test_guard_names_number_and_limit_before_any_walk():
    layers = [Dense(np.ones((784, 128))), Gate()]
    layers += [Dense(np.ones((128, 128))), Gate()] * 4
    network = [*layers, Dense(np.ones((128, 1)))]
    number = 784 * 128**5
    with pytest.raises(ValueError, match=rf"max_paths=1000000 .* with {number} paths"):
        paths.enumerate_paths(network, (784,))


def test_guard_lets_exactly_the_limit_through():
    network, shape = make("fc")
    number = paths.count_paths(network, shape)
    assert len(list(paths.enumerate_paths(network, shape, max_paths=number))) == number
    with pytest.raises(ValueError, match="max_paths"):
        paths.enumerate_paths(network, shape, max_paths=number - 1)
