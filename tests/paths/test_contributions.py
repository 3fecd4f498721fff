"""Contributions of the inputs against steps of the affine map."""

import numpy as np
import pytest
from paths.forward import forward
from paths.networks import CLOSE, NAMES, examples, make

from dlgn_keras import paths


@pytest.mark.parametrize("name", NAMES)
def test_contributions_are_the_steps_of_the_affine_map_and_sum_to_the_output(name):
    network, shape = make(name)
    x, _, gates, _ = examples(network, shape)
    y, _ = forward(network, x, gates)
    zero, _ = forward(network, np.zeros(shape), gates)
    unit = (0,) * y.ndim
    inputs, bias = paths.contributions(network, x, gates, unit)
    assert inputs.shape == x.shape
    np.testing.assert_allclose(inputs.sum() + bias, y[unit], **CLOSE)
    np.testing.assert_allclose(bias, zero[unit], **CLOSE)
    for entry in np.ndindex(*shape):
        one = np.zeros(shape)
        one[entry] = x[entry]
        step = forward(network, one, gates)[0] - zero
        np.testing.assert_allclose(inputs[entry], step[unit], **CLOSE)


def test_contributions_at_other_gates_do_not_sum_to_the_output():
    network, shape = make("fc_bias")
    x, _, gates, other = examples(network, shape)
    y, _ = forward(network, x, gates)
    inputs, bias = paths.contributions(network, x, other)
    assert not np.isclose(inputs.sum() + bias, y[0], **CLOSE)
