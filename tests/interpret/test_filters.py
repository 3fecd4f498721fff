"""Filters of gates give the pre-activations: inside by one kernel, anywhere by rows."""

import numpy as np
import pytest
import tiny
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import interpret
from dlgn_keras.data import Preprocessing
from dlgn_keras.skeletons import AveragePool, Conv, Flatten, MaxPool, Residual, Skeleton

MIXED = Skeleton(
    (
        Conv(3, 3, batch_norm=True),
        Residual((Conv(3, 4), Conv(3, 3, gated=False, batch_norm=True))),
        AveragePool(2),
        Residual((Conv(4, 3, 2),), (Conv(4, 1, 2, gated=False),)),
        Conv(2, 2, padding="valid"),
        Flatten(),
    ),
    "mixed",
)
MODELS = {
    "c4gap": (dk.skeletons.c4gap(4, depth=3), (11, 12, 2), {}),
    "circular": (dk.skeletons.c4gap(3, depth=2, padding="circular"), (7, 8, 1), {}),
    "mixed": (MIXED, (37, 34, 2), {}),
    "resnet": (dk.skeletons.resnet(8, (2, 3, 4)), (47, 44, 3), {}),
    "gconv": (dk.skeletons.gconv((2, 3), (5,), "valid", True), (8, 9, 2), {}),
    "sequence": (Skeleton((Conv(2, 5, 2), Conv(3), Flatten())), (23, 2), {}),
    "shallow": (dk.skeletons.c4gap(3, depth=3), (12, 12, 2), {"shallow": True}),
    "dilated": (
        Skeleton(
            (
                Conv(2, 3, dilation=2),
                Conv(2, 2, padding="circular", dilation=3),
                Conv(2, padding="valid"),
                Flatten(),
            )
        ),
        (17, 16, 1),
        {},
    ),
    "grouped": (
        Skeleton((Conv(4), Conv(4, groups=4), Conv(2, groups=2), Flatten())),
        (9, 8, 2),
        {},
    ),
    "max_pool": (
        Skeleton((Conv(2), MaxPool(2), Conv(3), Flatten())),
        (16, 14, 1),
        {"max_pool": "average"},
    ),
    "fc": (dk.skeletons.fc(3, 6, batch_norm=True), (3, 3, 2), {}),
    "vector": (dk.skeletons.fc(2, 4), (7,), {"shallow": True}),
}


def made(name, family="dlgn", **options):
    skeleton, shape, more = MODELS[name]
    return tiny.build(family, (skeleton, shape), **(more | options)), shape


def filtered(filters, z):
    """What the filters say of the interior positions, one position at a time."""
    window, beyond = filters.kernel.shape[:-2], 40
    z = np.pad(z, [(0, 0), *((beyond, beyond) for _ in window), (0, 0)][: z.ndim])
    firsts = [first for first, _ in filters.interior]
    counts = [stop - first for first, stop in filters.interior]
    out = np.zeros((len(z), *counts, filters.kernel.shape[-1]))
    for step in np.ndindex(*counts):
        begins = [
            (p + first) * stride + start + beyond
            for p, first, stride, start in zip(
                step, firsts, filters.strides, filters.start, strict=True
            )
        ]
        ends = zip(begins, window, strict=True)
        cut = z[(slice(None), *(slice(b, b + w) for b, w in ends))]
        axes = len(window) + 1
        out[(slice(None), *step)] = np.tensordot(cut, filters.kernel, axes)
    return out + filters.offset


def interior_of(q, filters):
    if q.ndim == 2:
        return q.reshape(len(q), *(1 for _ in filters.interior), -1)
    return q[(slice(None), *(slice(*pair) for pair in filters.interior))]


@pytest.mark.parametrize("name", MODELS)
def test_filters_give_the_pre_activations_of_interior_positions(rng, name):
    net, shape = made(name)
    x = rng.normal(size=(2, *shape)).astype("float32")
    q = net.pre_activations(x)
    checked = 0
    for site, filters in interpret.all_gate_filters(net).items():
        expected = interior_of(q[site], filters)
        if expected.size:
            assert_close(filtered(filters, x.astype(float)), expected)
            checked += 1
    assert checked == sum(len(site.shape) < 4 for site in net.sites)


def test_a_filter_of_another_weight_is_noticed(rng):
    net, shape = made("mixed")
    filters = interpret.gate_filters(net, "conv_2")
    net.network_layers("gating")["conv_1"].affine.kernel.assign(
        rng.normal(size=(3, 3, 2, 3))
    )
    x = rng.normal(size=(2, *shape))
    q = interior_of(net.pre_activations(x)["conv_2"], filters)
    assert distance(filtered(filters, x), q) > 1e-2


def test_the_interior_is_as_large_as_it_can_be(rng):
    net, shape = made("mixed")
    x = rng.normal(size=(1, *shape))
    site, checked = "add_2", 0
    filters = interpret.gate_filters(net, site)
    q = net.pre_activations(x)[site]
    for axis in (0, 1):
        for end in (0, 1):
            pairs = [list(pair) for pair in filters.interior]
            pairs[axis][end] += 1 if end else -1
            if 0 <= pairs[axis][0] and pairs[axis][1] <= q.shape[1 + axis]:
                wider = filters._replace(interior=tuple(map(tuple, pairs)))
                padded = np.pad(x, [(0, 0), (40, 40), (40, 40), (0, 0)])
                moved = tuple(s + 40 for s in wider.start)
                found = filtered(wider._replace(start=moved), padded)
                assert distance(found, interior_of(q, wider)) > 1e-4
                checked += 1
    assert checked >= 3


@pytest.mark.parametrize("name", MODELS)
def test_exact_rows_give_the_pre_activations_at_every_corner(rng, name):
    net, shape = made(name)
    x = rng.normal(size=(2, *shape)).astype("float32")
    q = net.pre_activations(x)
    for site, (*sizes, _) in net.sites:
        if "max_pool" in site:
            continue
        corners = {tuple(0 for _ in sizes), tuple(n - 1 for n in sizes), None}
        for position in corners:
            units = interpret.filters_at(net, site, position)
            found = np.tensordot(x, units.rows, (range(1, x.ndim), range(1, x.ndim)))
            expected = q[site][(slice(None), *units.position)]
            assert_close(found + units.offset, expected)


@pytest.mark.parametrize(("family", "name"), [("dnn", "mixed"), ("dgn", "gconv")])
def test_local_filters_hold_at_their_input_and_not_at_another(rng, family, name):
    net, shape = made(name, family)
    x, other = rng.normal(size=(2, *shape)).astype("float32")
    site = net.sites[-1].name
    units = interpret.local_filters(net, x, site)

    def gap(image):
        q = net.pre_activations(image[None])[site][(0, *units.position)]
        axes = (range(1, image.ndim + 1), range(image.ndim))
        return distance(np.tensordot(units.rows, image, axes) + units.offset, q)

    assert gap(x) < 1e-5
    assert gap(other) > 1e-3


def test_local_filters_choose_as_max_pools_do(rng):
    net = tiny.build("dnn", tiny.MAX_POOL)
    x = tiny.examples(rng, tiny.MAX_POOL, 1)[0]
    units = interpret.local_filters(net, x, "conv_2", (1, 0))
    q = net.pre_activations(x[None])["conv_2"][0, 1, 0]
    assert_close((units.rows * x).sum((1, 2, 3)) + units.offset, q)


def test_a_dlgns_local_filters_are_its_filters(rng):
    net, shape = made("gconv")
    local = interpret.local_filters(net, rng.normal(size=shape), "conv_2", (0, 1))
    assert_close(local.rows, interpret.filters_at(net, "conv_2", (0, 1)).rows)


def test_filters_are_of_the_preprocessed_input(rng):
    preprocessing = Preprocessing(scale=0.5, offset=0.25)
    net = dk.DLGN(dk.skeletons.fc(2, 4), (5,), 2, preprocessing=preprocessing)
    x = rng.normal(size=(3, 5))
    filters = interpret.gate_filters(net, "dense_2")
    found = (x * 0.5 + 0.25) @ filters.kernel + filters.offset
    assert_close(found, net.pre_activations(x)["dense_2"])


def test_a_window_that_outgrows_the_image_is_cut_to_what_it_sees():
    net = dk.DLGN(dk.skeletons.resnet(20, (2, 2, 2)), (12, 12, 1), 3)
    filters = interpret.gate_filters(net, "add_9")
    assert any(first >= stop for first, stop in filters.interior)
    assert max(filters.kernel.shape[:2]) <= 2 * 12 - 1


def test_the_spectrum_is_the_response_to_plane_waves():
    net, _ = made("c4gap")
    filters = interpret.gate_filters(net, "conv_2")
    found = interpret.spectrum(net, "conv_2", size=10)
    rows, columns = np.indices(filters.kernel.shape[:2])
    for i, j in [(0, 0), (5, 5), (7, 2)]:
        f, g = found.frequencies[0][i], found.frequencies[1][j]
        wave = np.exp(2j * np.pi * (f * rows + g * columns))
        response = np.abs(np.tensordot(wave, filters.kernel, 2))
        assert_close(found.magnitude[i, j], response, "float64")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interpret.gate_filters(made("fc")[0], "dense_9"), "Did you mean"),
        (lambda: interpret.gate_filters(made("fc", "dnn")[0], "dense_1"), "local_filt"),
        (lambda: interpret.filters_at(made("fc", "dgn")[0], "dense_1"), "local_filt"),
        (lambda: interpret.filters_at(made("c4gap")[0], "conv_1", (11, 0)), "position"),
        (lambda: interpret.spectrum(made("vector")[0], "dense_1"), "no frequencies"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
