"""The enumeration against direct forward passes, closed forms and Keras itself."""

import itertools
import math

import keras
import numpy as np
import pytest

from dlgn_keras import paths
from dlgn_keras.paths import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    Gate,
    GlobalPool,
    MaxPool,
    Residual,
    Scale,
)

CLOSE = {"rtol": 1e-11, "atol": 1e-11}  # float64 sums of up to 1e5 terms


# --- a forward pass that knows nothing of paths -------------------------------------


def padded(image, size, strides, padding, **mode):
    if padding == "valid":
        return image
    amounts = []
    for n, k, s in zip(image.shape, size, strides, strict=False):
        total = max((math.ceil(n / s) - 1) * s + k - n, 0)
        amounts.append((total // 2, total - total // 2))
    amounts += [(0, 0)] * (image.ndim - len(amounts))
    if padding == "circular":
        return np.pad(image, amounts, mode="wrap")
    return np.pad(image, amounts, constant_values=mode.get("fill", 0))


def windows(image, size, strides, padding, **mode):
    """{position: window of the padded image}, and the number of positions by axis."""
    rank = len(size)
    image = padded(image, size, strides, padding, **mode)
    shape = [
        (image.shape[axis] - size[axis]) // strides[axis] + 1 for axis in range(rank)
    ]
    cuts = {}
    for position in np.ndindex(*shape):
        starts = [i * s for i, s in zip(position, strides, strict=True)]
        cut = tuple(slice(a, a + k) for a, k in zip(starts, size, strict=True))
        cuts[position] = image[cut]
    return cuts, tuple(shape)


def geometry(stage, rank):
    def each(value):
        return (value,) * rank if isinstance(value, int) else value

    size = np.shape(stage.kernel)[:-2] if isinstance(stage, Conv) else each(stage.size)
    return size, each(stage.strides) if stage.strides else size, stage.padding


def forward(network, x, gates=None):
    """Output and gates used: the given ones, else the ReLUs' and maxima's own."""
    given, used = None if gates is None else iter(gates), []

    def run(stages, x):
        for stage in stages:
            if isinstance(stage, Residual):
                x = run(stage.body, x) + run(stage.shortcut, x)  # body's gates first
            elif isinstance(stage, Dense):
                x = x @ stage.kernel
            elif isinstance(stage, Scale):
                x = x * stage.scale
                x = x if stage.offset is None else x + stage.offset
            elif isinstance(stage, Gate):
                used.append((x > 0) * 1.0 if given is None else next(given))
                x = x * used[-1]
            elif isinstance(stage, Flatten):
                x = x.reshape(-1)
            elif isinstance(stage, GlobalPool):
                x = x.mean(axis=tuple(range(x.ndim - 1)))
            else:
                x = windowed(stage, x)
            if getattr(stage, "bias", None) is not None:
                x = x + stage.bias
        return x

    def windowed(stage, x):
        fill = 0 if isinstance(stage, Conv) else np.nan
        cuts, shape = windows(x, *geometry(stage, x.ndim - 1), fill=fill)
        rows = {p: cut.reshape(-1, x.shape[-1]) for p, cut in cuts.items()}
        if isinstance(stage, Conv):
            kernel = stage.kernel.reshape(-1, x.shape[-1], stage.kernel.shape[-1])
            values = [np.einsum("jc,jck->k", row, kernel) for row in rows.values()]
        elif isinstance(stage, MaxPool):
            best = [np.nanargmax(row, axis=0) for row in rows.values()]
            hot = np.eye(math.prod(geometry(stage, x.ndim - 1)[0]))[np.array(best)]
            hot = hot.reshape(*shape, *hot.shape[1:])
            used.append(hot if given is None else next(given))
            values = [np.nansum(row.T * used[-1][p], axis=1) for p, row in rows.items()]
        else:
            values = [np.nanmean(row, axis=0) for row in rows.values()]
        return np.array(values).reshape(*shape, -1)

    return run(network, np.asarray(x, dtype=float)), used


# --- networks ------------------------------------------------------------------------


def make(name, seed=0, width=3):
    """A named network with random weights, and its input shape."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal

    def block(channels, size=(), **options):
        layer = Conv if size else Dense
        return [
            layer(w((*size, channels, channels)), **options),
            Scale(w(channels)),
            Gate(),
            layer(w((*size, channels, channels)), **options),
        ]

    down = Conv(w((1, 1, 2, 2)), strides=2, padding="same")
    body = [Conv(w((3, 3, 2, 2)), w(2), 2, "same"), Gate()]
    networks = {
        "fc": ((4,), [Dense(w((4, width))), Gate(), Dense(w((width, 2)))]),
        "fc_bias": (
            (3,),
            [
                *(Dense(w((3, width)), w(width)), Gate()),
                *(Dense(w((width, width)), w(width)), Gate()),
                Dense(w((width, 2)), w(2)),
            ],
        ),
        "fc_each_position": ((2, 3), [Dense(w((3, 2))), Gate(), Flatten()]),
        "conv1d": (
            (5, 2),
            [
                *(Conv(w((2, 2, 2)), w(2), 2, "same"), Gate()),
                *(Conv(w((2, 2, 3)), padding="circular"), Gate()),
                *(Flatten(), Dense(w((9, 2)))),
            ],
        ),
        "conv_norm": (
            (4, 3, 2),
            [
                *(Conv(w((3, 2, 2, 2)), padding="same"), Scale(w(2), w(2)), Gate()),
                *(Conv(w((2, 2, 2, 2)), strides=(2, 1)), Scale(w(2), w(2)), Gate()),
                *(GlobalPool(), Dense(w((2, 2)), w(2))),
            ],
        ),
        "pools": (
            (5, 4, 2),
            [
                *(Conv(w((2, 2, 2, 2)), padding="circular"), Gate(), AveragePool(2)),
                *(Conv(w((1, 2, 2, 2)), w(2), padding="same"), Gate()),
                *(MaxPool((2, 1), padding="same"), Flatten(), Dense(w((4, 2)))),
            ],
        ),
        "pools_overlap": (
            (5, 5, 1),
            [
                *(MaxPool(3, strides=2), Conv(w((1, 1, 1, 2))), Gate()),
                *(AveragePool((2, 3), strides=1, padding="same"), Gate(), Flatten()),
            ],
        ),
        "residual_fc": (
            (3,),
            [
                *(Dense(w((3, 3))), Gate(), Residual(block(3)), Gate()),
                *(Residual(block(3), [Dense(w((3, 3)))]), Gate(), Dense(w((3, 2)))),
            ],
        ),
        "residual_conv": (
            (3, 2),
            [
                Residual(block(2, (3,), padding="circular")),
                *(Gate(), Residual(block(2, (2,), padding="same")), Gate()),
                *(GlobalPool(), Dense(w((2, 2)))),
            ],
        ),
        "residual_nested": (
            (4, 4, 2),
            [
                Residual([Residual(body, [down]), Gate()], [AveragePool(2)]),
                *(Gate(), GlobalPool(), Residual([Dense(w((2, 2)), w(2))])),
            ],
        ),
    }
    input_shape, network = networks[name]
    return network, input_shape


NAMES = [
    *("fc", "fc_bias", "fc_each_position", "conv1d", "conv_norm", "pools"),
    *("pools_overlap", "residual_fc", "residual_conv", "residual_nested"),
]


def examples(network, input_shape, seed=1):
    """Two examples and two sets of real-valued gates."""
    rng = np.random.default_rng(seed)
    shapes = paths.gate_shapes(network, input_shape)
    x, y = rng.standard_normal((2, *input_shape))
    gates_x = [rng.standard_normal(shape) for shape in shapes]
    gates_y = [rng.standard_normal(shape) for shape in shapes]
    return x, y, gates_x, gates_y


def replaced(network, position, **fields):
    """The network with other fields in one stage."""
    old = network[position]
    stage = type(old)(**{**vars(old), **fields})
    return [*network[:position], stage, *network[position + 1 :]]


# --- outputs -------------------------------------------------------------------------


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


# --- the number of paths --------------------------------------------------------------


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


# --- the kernel -----------------------------------------------------------------------


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


# --- residual ensembles ---------------------------------------------------------------


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


# --- contributions --------------------------------------------------------------------


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


# --- messages -------------------------------------------------------------------------

BAD = {
    "stage": (TypeError, "stages of this module.*'relu'", ["relu"], (2,)),
    "lone_stage": (TypeError, "`network` must be a sequence", Gate(), (2,)),
    "no_axis": (ValueError, "`input_shape` must hold", [Gate()], ()),
    "batch_axis": (ValueError, "whole numbers of at least 1", [Gate()], (None, 2)),
    "dense": (
        ValueError,
        r"`kernel` of stage 0.*\(2, 3\)",
        [Dense(np.ones((2, 3)))],
        (3,),
    ),
    "conv": (ValueError, "`kernel` of stage 0", [Conv(np.ones((3, 2, 2)))], (5, 3)),
    "conv_rank": (
        ValueError,
        "must have 4 axes",
        [Conv(np.ones((3, 2, 2)))],
        (5, 5, 2),
    ),
    "bias": (ValueError, "`bias` of stage 1", [Gate(), Dense(np.eye(2), [1.0])], (2,)),
    "scale": (ValueError, "`scale` of stage 0", [Scale(np.ones(3))], (4, 2)),
    "offset": (ValueError, "`offset` of stage 0", [Scale([1.0], [1.0, 2.0])], (1,)),
    "padding": (
        ValueError,
        "one of valid, same. Received: 'circular'",
        [AveragePool(2, padding="circular")],
        (4, 1),
    ),
    "strides": (ValueError, "`strides` of stage 0", [AveragePool(2, 0)], (4, 1)),
    "size": (ValueError, "`size` of stage 0", [MaxPool((2, 2))], (4, 1)),
    "too_large": (ValueError, r"fit into the image \(4,\)", [MaxPool(5)], (4, 1)),
    "vector": (ValueError, "image axes and channels", [AveragePool(2)], (4,)),
    "block": (
        ValueError,
        r"`shortcut` of stage 0 must end in \(3,\)",
        [Residual([Dense(np.ones((2, 3)))])],
        (2,),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_misfit_is_named(case):
    error, message, network, shape = BAD[case]
    for function in (paths.count_paths, paths.enumerate_paths, paths.gate_shapes):
        with pytest.raises(error, match=message):
            function(network, shape)


def test_bad_gates_and_targets_are_named():
    network, shape = make("fc")
    x, _, gates, _ = examples(network, shape)
    with pytest.raises(ValueError, match=r"each of the 1 sites\. Received: 2 arrays"):
        paths.output(network, x, gates * 2)
    with pytest.raises(ValueError, match=r"shape \(3,\) at site 0. .* \(2,\)"):
        paths.npf(network, x, [gates[0][:2]])
    for target in (2, -1, (0, 0)):
        with pytest.raises(ValueError, match="`target` must be the index"):
            paths.npf(network, x, gates, target)
    conv = [Conv(np.ones((2, 1, 1)), padding="same"), Flatten(), Gate()]
    with pytest.raises(ValueError, match="`x` and `y` must have one shape"):
        paths.npk(conv, np.ones((2, 1)), np.ones((1, 1)), [[1, 1]], [[1]])
