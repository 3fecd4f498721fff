"""The enumerated kernel against closed forms and the position-pair recursion."""

import itertools
import math

import numpy as np
import pytest
from paths.forward import forward, geometry, windows
from paths.networks import CLOSE, examples, make

from dlgn_keras import paths
from dlgn_keras.paths import AveragePool, Conv, Dense, Flatten, Gate, GlobalPool, Scale


def fc(widths, seed=0):
    w = np.random.default_rng(seed).standard_normal
    stages = []
    for before, after in itertools.pairwise(widths):
        stages += [Dense(w((before, after))), Gate()]
    return stages[:-1]


@pytest.mark.parametrize("all_ones", [False, True])
def test_fc_kernel_is_a_product_of_inner_products(all_ones):
    network = fc([4, 3, 3, 3, 2])
    x, y, gates_x, gates_y = examples(network, (4,))
    x, y = (np.ones(4), np.ones(4)) if all_ones else (x, y)
    h = paths.npk(network, x, y, gates_x, gates_y)
    overlaps = [a @ b for a, b in zip(gates_x, gates_y, strict=True)]
    expected = (4.0 if all_ones else x @ y) * np.prod(overlaps)
    np.testing.assert_allclose(h, expected, **CLOSE)
    assert not np.isclose(h, (x @ y) * np.prod(overlaps[1:]), **CLOSE)
    np.testing.assert_allclose(
        paths.npk(network, x, y, gates_x, gates_y, 1), h, **CLOSE
    )


def test_biases_add_the_kernels_of_the_layers_above_them():
    network, shape = make("fc_bias")
    x, y, gates_x, gates_y = examples(network, shape)
    one, two = (a @ b for a, b in zip(gates_x, gates_y, strict=True))
    expected = (x @ y) * one * two + one * two + two + 1
    h = paths.npk(network, x, y, gates_x, gates_y)
    np.testing.assert_allclose(h, expected, **CLOSE)


def test_permuted_gates_leave_the_fc_kernel_and_change_the_conv_kernel():
    w = np.random.default_rng(3).standard_normal
    conv = [Conv(w((3, 2, 2)), padding="circular"), Gate()] * 3
    conv += [GlobalPool(), Dense(w((2, 1)))]
    order, changed = [1, 2, 0], []
    for network, shape in [(fc([3, 4, 4, 4, 1]), (3,)), (conv, (4, 2))]:
        x, y, gates_x, gates_y = examples(network, shape)
        h = paths.npk(network, x, y, gates_x, gates_y)
        permuted = [[gates[i] for i in order] for gates in (gates_x, gates_y)]
        twin = paths.npk(network, x, y, *permuted)
        changed.append(not np.isclose(twin, h, **CLOSE))
    assert changed == [False, True]


def pair_matrix_kernel(network, x, y, gates_x, gates_y):
    """The position-pair recursion: no paths, one matrix over pairs of positions."""
    image, sites = x.shape[:-1], zip(gates_x, gates_y, strict=True)
    m = x.reshape(-1, x.shape[-1]) @ y.reshape(-1, y.shape[-1]).T
    for stage in network[:-1]:  # the last dense layer has one output and no gate
        if isinstance(stage, Conv | AveragePool):
            ids = np.arange(math.prod(image)).reshape(image)
            cuts, image = windows(ids, *geometry(stage, len(image)), fill=-1)
            table = [cut.reshape(-1) for cut in cuts.values()]
            new = np.zeros((len(table), len(table)))
            for (u, a), (v, b) in itertools.product(enumerate(table), repeat=2):
                if isinstance(stage, AveragePool):
                    new[u, v] = m[np.ix_(a[a >= 0], b[b >= 0])].mean()
                else:
                    new[u, v] = sum(
                        m[i, j] for i, j in zip(a, b, strict=True) if min(i, j) >= 0
                    )
            m = new
        elif isinstance(stage, Gate):
            a, b = next(sites)
            m = m * (a.reshape(len(m), -1) @ b.reshape(len(m), -1).T)
        elif isinstance(stage, GlobalPool):
            m = m.mean(keepdims=True)
        elif isinstance(stage, Flatten):
            m = np.trace(m).reshape(1, 1)
    return m.item()


@pytest.mark.parametrize("end", ["global", "flatten", "dense"])
@pytest.mark.parametrize("padding", ["same", "valid", "circular"])
@pytest.mark.parametrize("strides", [1, 2])
def test_conv_kernel_is_the_position_pair_recursion(end, padding, strides):
    w = np.random.default_rng(0).standard_normal
    network = [
        *(Conv(w((2, 3, 2, 2)), strides=strides, padding=padding), Scale(w(2)), Gate()),
        *(AveragePool(2, 1, "same"), Conv(w((2, 1, 2, 2)), padding="same"), Gate()),
        GlobalPool() if end == "global" else Flatten(),
    ]
    shape = (3, 4, 2)
    width = len(paths.output(network, np.ones(shape), examples(network, shape)[2]))
    if end == "dense":
        network += [Dense(w((width, 2))), Gate()]
        width = 2
    network += [Dense(w((width, 1)))]
    x, y, gates_x, gates_y = examples(network, shape)
    h = paths.npk(network, x, y, gates_x, gates_y)
    expected = pair_matrix_kernel(network, x, y, gates_x, gates_y)
    np.testing.assert_allclose(h, expected, **CLOSE)
    other = pair_matrix_kernel(network, x, y, gates_x, gates_x)
    assert not np.isclose(h, other, **CLOSE)


def gconv(padding, seed=0):
    w = np.random.default_rng(seed).standard_normal
    return [
        *(Conv(w((3, 2, 2)), padding=padding), Gate()),
        *(Conv(w((3, 2, 2)), padding=padding), Gate()),
        *(GlobalPool(), Dense(w((2, 3))), Gate(), Dense(w((3, 1)))),
    ]


def test_circular_conv_kernel_is_a_sum_over_rotations():
    network, size = gconv("circular"), 4
    x, y, gates_x, gates_y = examples(network, (size, 2))
    ones = [Conv(np.ones((3, 2, 2)), padding="circular"), Gate()] * 2
    total = 0.0
    for r in range(size):
        both = [
            a * np.roll(b, r, 0) for a, b in zip(gates_x[:2], gates_y[:2], strict=True)
        ]
        rotated = np.roll(y, r, 0)
        for unit in np.ndindex(*x.shape):
            start = np.zeros(x.shape)
            start[unit] = 1
            active = forward(ones, start, both)[0].sum()  # paths open for both
            total += x[unit] * active * rotated[unit]
    expected = total / size**2 * (gates_x[2] @ gates_y[2])
    h = paths.npk(network, x, y, gates_x, gates_y)
    np.testing.assert_allclose(h, expected, **CLOSE)


def test_rotation_leaves_the_pooled_kernel_only_under_circular_padding():
    invariant = {}
    for padding in ("circular", "same"):
        network, kernels = gconv(padding), []
        x, y, *_ = examples(network, (5, 2), seed=4)
        for r in range(5):
            rotated = np.roll(y, r, 0)
            _, gates_x = forward(network, x)
            _, gates_y = forward(network, rotated)
            kernels.append(paths.npk(network, x, rotated, gates_x, gates_y))
        assert kernels[0] != 0
        invariant[padding] = np.allclose(kernels, kernels[0], **CLOSE)
    assert invariant == {"circular": True, "same": False}
