"""The exact kernel against every path walked, and the theorems about it."""

import itertools

import numpy as np
import pytest
import tiny
from kernels import by_paths
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import kernels, paths
from dlgn_keras.kernels.plan import make_plan
from dlgn_keras.kernels.recursion import Recursion, arrange
from dlgn_keras.kernels.tiles import read_examples
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    Residual,
    Skeleton,
)

# Value inputs and gates come out of the model in float32; every sum is float64.
EXACT = "float64"
MORE = {
    "strided_circular": (
        Skeleton(
            (Conv(2, 3, 2, "circular"), Conv(2, 2, padding="valid"), GlobalPool())
        ),
        (6, 5, 1),
    ),
    "pool_cuts_a_rest": (
        Skeleton((Conv(2, 2), AveragePool(2), Conv(2), Flatten(), Dense(2))),
        (5, 1),
    ),
    "channels_apart": (
        Skeleton(
            (
                Residual((Conv(2), AveragePool(1)), gated=True),
                AveragePool(2),
                Residual((Conv(2, 2, batch_norm=True),), gated=False),
                Flatten(),
                Residual((Dense(3), Dense(4, gated=False))),
            )
        ),
        (4, 2),
    ),
    "nested": (
        Skeleton(
            (
                Residual(
                    (Residual((Dense(2),), (Dense(2, gated=False),)), Dense(3)),
                ),
                Dense(2, gated=False),
            )
        ),
        (3,),
    ),
}
ALL = {**tiny.KINDS, **MORE}


def gates_of(net, x, mode=None):
    """The gates as the kernels read them: float32 rounds by the size of a batch."""
    return read_examples(net, x, mode).gates


def features(net, x, mode=None, **options):
    return by_paths.features(net, x, mode, gates_of(net, x, mode), **options)


def test_gates_read_are_those_of_the_model(rng):
    net = tiny.build("dlgn", "gconv")
    x = tiny.examples(rng, "gconv", 40)
    for site, gates in net.gates(x).items():
        assert_close(gates_of(net, x)[site], gates)
        assert np.array_equal(gates_of(net, x[3:7])[site], gates_of(net, x)[site][3:7])


@pytest.mark.parametrize("family", ["dnn", "dlgn"])
@pytest.mark.parametrize("kind", ALL)
def test_kernel_is_the_inner_product_of_enumerated_features(family, kind, rng):
    options = {} if family == "dnn" else {"value_bias": True}
    net = tiny.build(family, ALL[kind], **options)
    x = tiny.examples(rng, ALL[kind], 2)
    phi = features(net, x)
    assert_close(kernels.npk(net, x), by_paths.gram(phi), EXACT)
    assert_close(kernels.npk(net, x[:1], x), by_paths.gram(phi[:1], phi), EXACT)


@pytest.mark.parametrize("kind", ["gconv", "resnet", "channels_apart", "vconv"])
def test_gates_of_one_site_off_by_a_percent_are_seen(kind, rng):
    # A gentle slope holds every gate near 1/2, so that no draw closes a site's paths.
    net = tiny.build("dlgn", ALL[kind], beta=0.25)
    x = tiny.examples(rng, ALL[kind], 2)
    gates, phi, gram = gates_of(net, x), features(net, x), kernels.npk(net, x)
    assert_close(gram, by_paths.gram(phi), EXACT)
    for site in gates:
        first = {
            name: made[:1] * (1 + 0.01 * (name == site)) for name, made in gates.items()
        }
        moved = by_paths.features(net, x[:1], made=first)
        assert distance(gram, by_paths.gram([*moved, *phi[1:]])) > 1e-6


@pytest.mark.parametrize(
    ("kind", "value_input"),
    [
        *(
            (kind, "input")
            for kind in ("fc_batch_norm", "gconv_valid", "dense_residual")
        ),
        *((kind, "ones") for kind in ("vgg16", "resnet")),  # where norms can stand it
    ],
)
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_gate_modes_and_value_inputs(kind, mode, value_input, rng):
    net = tiny.build("dgn", kind, value_input=value_input, gate_scale=1.1)
    x = tiny.examples(rng, kind, 2)
    grams = {}
    for bias_paths in (True, False):
        phi = features(net, x, mode, bias_paths=bias_paths)
        grams[bias_paths] = kernels.npk(net, x, mode=mode, bias_paths=bias_paths)
        assert_close(grams[bias_paths], by_paths.gram(phi), EXACT)
    if mode == "soft":  # batch norm starts paths; hard gates may close all of them
        assert distance(grams[True], grams[False]) > 1e-6


def test_fc_kernel_is_a_product_of_overlaps_and_normalises_by_widths(rng):
    net = dk.DLGN(dk.skeletons.fc(3, 7), (2, 3, 1), num_classes=2)
    x, y = tiny.examples(rng, (None, (2, 3, 1)), 5), tiny.examples(rng, (0, (2, 3, 1)))
    expected = x.reshape(5, -1).astype(float) @ y.reshape(3, -1).T
    for a, b in zip(gates_of(net, x).values(), gates_of(net, y).values(), strict=True):
        expected = expected * (a.astype(float) @ b.T)
    assert_close(kernels.npk(net, x, y), expected, EXACT)
    normal = kernels.npk(net, x, y, normalize=True)
    np.testing.assert_allclose(normal, expected / (6 * 7**3), rtol=1e-12)


def test_normalised_conv_kernel_is_divided_by_channels_and_units(rng):
    skeleton = Skeleton((Conv(2), Conv(4), Flatten(), Dense(3)))
    net = dk.DLGN(skeleton, (2, 2, 3), num_classes=2)
    x = tiny.examples(rng, (None, (2, 2, 3)))
    ratio = kernels.npk(net, x) / kernels.npk(net, x, normalize=True)
    np.testing.assert_allclose(ratio, 3 * 2 * 16 * 3, rtol=1e-12)


def test_normalised_residual_kernel_divides_in_each_branch(rng):
    skeleton = Skeleton((Dense(4), Residual((Dense(5), Dense(4, gated=False)))))
    net = dk.DLGN(skeleton, (3,), num_classes=2)
    x = tiny.examples(rng, (None, (3,)))
    g = [v.astype(float) for v in gates_of(net, x).values()]
    start = x.astype(float) @ x.T / 3
    body = start * (g[0] @ g[0].T) / 4 * (g[1] @ g[1].T) / 5 * (g[2] @ g[2].T) / 4
    skip = start * ((g[0] * g[2]) @ (g[0] * g[2]).T) / 4
    assert_close(kernels.npk(net, x, normalize=True), body + skip, EXACT)


def test_residual_kernel_is_the_sum_over_sub_networks(rng):
    width, shape = 3, (4,)
    block = Residual((Dense(width), Dense(width, gated=False)))
    net = dk.DLGN(Skeleton((Dense(width), block, block, block)), shape, 2)
    x = tiny.examples(rng, (None, shape))
    gates = [g.astype(float) for g in gates_of(net, x).values()]
    total, parts = 0.0, []
    for choice in itertools.product([True, False], repeat=3):
        # a kept block multiplies by its inner overlap, then its outer gates apply;
        # a replaced one only narrows the units that are open
        h, unit = x.astype(float) @ x.T, gates[0]
        for k, kept in enumerate(choice):
            inner, outer = gates[1 + 2 * k], gates[2 + 2 * k]
            if kept:
                h, unit = h * (unit @ unit.T) * (inner @ inner.T), outer
            else:
                unit = unit * outer
        parts.append(h * (unit @ unit.T))
        total = total + parts[-1]
    assert_close(kernels.npk(net, x), total, EXACT)
    assert distance(kernels.npk(net, x), total - parts[2]) > 1e-6


@pytest.mark.parametrize(("padding", "exact"), [("circular", True), ("same", False)])
def test_rotation_leaves_the_pooled_kernel_under_circular_padding_only(
    padding, exact, rng
):
    skeleton = dk.skeletons.c4gap(3, 3, padding)
    net = dk.DGN(skeleton, (5, 4, 2), num_classes=2, gate="hard", seed=0)
    x = tiny.examples(rng, (None, (5, 4, 2)))
    turned = np.roll(x, (2, 1), (1, 2))
    found = distance(kernels.npk(net, x, turned), kernels.npk(net, x))
    assert (found < 1e-11) == exact
    assert exact or found > 1e-3


def test_permuted_gates_leave_the_fc_kernel_and_change_the_conv_kernel(rng):
    for skeleton, shape, exact in [
        (dk.skeletons.fc(3, 6), (4,), True),
        (dk.skeletons.c4gap(4, 3), (4, 4, 2), False),
    ]:
        x = tiny.examples(rng, (None, shape))
        nets = [
            dk.DLGN(skeleton, shape, 2, gate="hard", seed=3, gate_order=order)
            for order in (None, (1, 2, 0))
        ]
        found = distance(*(kernels.npk(net, x) for net in nets))
        assert (found < 1e-11) == exact


@pytest.mark.parametrize("kind", ["resnet", "vgg16", "sequence"])
def test_gram_is_symmetric_positive_and_equal_for_every_block_size(kind, rng):
    net = tiny.build("dgn", kind)
    x = tiny.examples(rng, kind, 6)
    whole = kernels.npk(net, x)
    assert np.array_equal(whole, whole.T)
    assert np.linalg.eigvalsh(whole).min() > -1e-12 * np.trace(whole)
    for batch_size in (1, 4, 6):
        assert_close(kernels.npk(net, x, batch_size=batch_size), whole, EXACT)
        half = kernels.npk(net, x[:4], x[1:], batch_size=batch_size)
        assert_close(half, whole[:4, 1:], EXACT)


@pytest.mark.parametrize("kind", ["resnet", "channels_apart", "strided_circular"])
def test_plain_recursion_on_the_backend_is_the_blocked_one(kind, rng):
    import keras

    net = tiny.build("dgn", ALL[kind])
    x = tiny.examples(rng, ALL[kind], 4)
    plan = make_plan(net, normalize=True, bias_paths=True)
    blocked = kernels.npk(net, x, normalize=True)
    for xp, dtype in [(np, "float64"), (keras.ops, "float32")]:
        side = arrange(net.value_inputs(x), gates_of(net, x), plan, dtype)
        plain = Recursion(plan, side, side, xp).run()
        assert_close(keras.ops.convert_to_numpy(plain), blocked, dtype)


def test_kernel_of_paths_agrees_with_npk_of_one_pair(rng):
    net = tiny.build("dnn", "fc")
    x = tiny.examples(rng, "fc", 2)
    a, b = features(net, x)
    assert a.keys() == b.keys()
    assert len(a) <= paths.count_paths(by_paths.oracle.stages(net), (4,), 0)
    assert_close(kernels.npk(net, x)[0, 1], sum(a[k] * b[k] for k in a), EXACT)


def test_this_backends_device_gives_the_same_gram(rng):
    net = tiny.build("dgn", "vgg16")
    x = tiny.examples(rng, "vgg16", 5)
    gram = kernels.npk(net, x, executor=kernels.DeviceExecutor())
    assert_close(gram, kernels.npk(net, x), "float64")
    single = kernels.npk(net, x, executor=kernels.DeviceExecutor(dtype="float32"))
    assert_close(single, gram)
    with pytest.raises(ValueError, match="`dtype` must be float64 or float32"):
        kernels.DeviceExecutor(dtype="float16")
