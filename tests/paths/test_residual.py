"""Residual networks as ensembles of sub-networks."""

import numpy as np
import pytest
from paths.forward import forward
from paths.networks import CLOSE, examples, make

from dlgn_keras import paths
from dlgn_keras.paths import Flatten, Gate, Residual


@pytest.mark.parametrize("name", ["residual_fc", "residual_conv"])
def test_residual_kernel_and_output_are_sums_over_sub_networks(name):
    network, shape = make(name)
    x, y, gates_x, gates_y = examples(network, shape)
    kernels, outputs = [], []
    for part, sites in paths.sub_networks(network):
        assert not any(isinstance(stage, Residual) for stage in part)
        here_x, here_y = ([g[i] for i in sites] for g in (gates_x, gates_y))
        kernels.append(paths.npk(part, x, y, here_x, here_y))
        outputs.append(forward(part, x, here_x)[0])
    assert len(kernels) == 4
    h = paths.npk(network, x, y, gates_x, gates_y)
    np.testing.assert_allclose(sum(kernels), h, **CLOSE)
    assert not np.isclose(sum(kernels[1:]), h, **CLOSE)
    np.testing.assert_allclose(sum(outputs), forward(network, x, gates_x)[0], **CLOSE)


def test_sub_networks_of_nested_blocks_keep_their_sites_in_order():
    inner = Residual([Gate(), Gate()], [Gate()])
    network = [Gate(), Residual([inner, Gate()], [Flatten()]), Gate()]
    sites = [part.sites for part in paths.sub_networks(network)]
    assert sites == [(0, 1, 2, 4, 5), (0, 3, 4, 5), (0, 5)]
