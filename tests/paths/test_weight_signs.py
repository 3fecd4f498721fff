"""The kernel as a mean over all signs of the weights, which shared weights bundle."""

import itertools

import numpy as np
import pytest
from paths.forward import forward
from paths.networks import CLOSE, examples

from dlgn_keras import paths
from dlgn_keras.paths import Conv, Dense, Gate, GlobalPool, Residual


def tiny(name):
    if name == "residual":
        block = Residual([Dense(np.ones((2, 2))), Gate(), Dense(np.ones((2, 2)))])
        return [Dense(np.ones((1, 2))), Gate(), block, Gate(), Dense([[1.0], [1]])], (
            1,
        )
    return [
        *(Conv(np.ones((2, 1, 2)), np.ones(2), padding="circular"), Gate()),
        *(Conv(np.ones((2, 2, 1)), padding="same"), Gate(), GlobalPool()),
        Dense(np.ones((1, 1))),
    ], (3, 1)


@pytest.mark.parametrize("name", ["conv", "residual"])
def test_kernel_is_the_mean_output_product_over_all_signs_of_the_weights(name):
    network, shape = tiny(name)
    x, y, gates_x, gates_y = examples(network, shape)
    arrays, signed = [], []
    for stage in network:
        inner = [] if not isinstance(stage, Residual) else stage.body
        copies = []
        for s in inner or [stage]:
            fields = dict(vars(s))
            for key in {"kernel", "bias"} & fields.keys():
                if fields[key] is not None:
                    fields[key] = np.array(fields[key], dtype=float)
                    arrays.append(fields[key])
            copies.append(type(s)(**fields))
        signed.append(Residual(copies) if inner else copies[0])
    products = []
    for signs in itertools.product([-1.0, 1.0], repeat=sum(a.size for a in arrays)):
        rest = iter(signs)
        for array in arrays:
            array.flat = [next(rest) for _ in range(array.size)]
        a, _ = forward(signed, x, gates_x)
        b, _ = forward(signed, y, gates_y)
        products.append(a[0] * b[0])
    h = paths.npk(network, x, y, gates_x, gates_y)
    np.testing.assert_allclose(h, np.mean(products), **CLOSE)
    # without the bundles of shared weights it is another number
    apart = 0.0
    for path in paths.enumerate_paths(network, shape, 0):
        ends = [1 if path.source is None else z[path.source] for z in (x, y)]
        for site, index in path.gates:
            ends[0], ends[1] = (
                end * gates[site][index]
                for end, gates in zip(ends, (gates_x, gates_y), strict=True)
            )
        apart += ends[0] * ends[1] * path.factor**2
    assert np.isclose(apart, h, **CLOSE) == (name == "residual")


def test_shared_weights_bundle_pixel_paths_into_one_key():
    network = [Conv(np.ones((2, 1, 1)), padding="circular"), GlobalPool()]
    phi = paths.npf(network, [[1.0], [2.0], [6.0]], [])
    weights = [[(w.stage, w.name, w.index) for w in key] for key in phi]
    assert weights == [[(0, "kernel", (0, 0, 0))], [(0, "kernel", (1, 0, 0))]]
    np.testing.assert_allclose(list(phi.values()), [3.0, 3.0], **CLOSE)
