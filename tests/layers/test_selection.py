"""SelectionGate and SelectedPooling: max pooling, taken apart and put together."""

import keras
import numpy as np
import pytest
from contracts import check_layer, to_numpy
from keras import ops
from tolerances import assert_close, distance

from dlgn_keras.layers import SelectedPooling, SelectionGate

LAST = {"data_format": "channels_last"}


def soft(layer, inputs):
    """softmax over windows of two places, in NumPy."""
    pairs = inputs[0].reshape(4, 3, 2, 2).transpose(0, 1, 3, 2).astype(float)
    e = np.exp(layer.beta * pairs)
    return e / e.sum(-1, keepdims=True)


def test_selection_gate_keeps_the_keras_contract(rng, tmp_path):
    options = {"pool_size": 2, "mode": "soft", "beta": 1.5, **LAST}
    check_layer(
        SelectionGate,
        options,
        (4, 6, 2),
        (4, 3, 2, 2),
        trainable=0,
        rng=rng,
        folder=tmp_path,
        reference=soft,
    )


def test_selected_pooling_keeps_the_keras_contract(rng, tmp_path):
    def pooled(layer, inputs):
        z, gate = inputs
        return (z.reshape(4, 3, 2, 2).transpose(0, 1, 3, 2) * gate).sum(-1)

    check_layer(
        SelectedPooling,
        {"pool_size": 2, **LAST},
        [(4, 6, 2), (4, 3, 2, 2)],
        (4, 3, 2),
        trainable=0,
        rng=rng,
        folder=tmp_path,
        reference=pooled,
    )


POOLS = [
    (keras.layers.MaxPooling1D, (7, 2), {"pool_size": 2}),
    (keras.layers.MaxPooling2D, (7, 6, 2), {"pool_size": 3, "strides": 2}),
    (
        keras.layers.MaxPooling2D,
        (7, 6, 2),
        {"pool_size": (3, 2), "strides": 2, "padding": "same"},
    ),
    (keras.layers.MaxPooling2D, (5, 5, 2), {"pool_size": 1, "strides": 2}),
    (keras.layers.MaxPooling3D, (4, 5, 4, 1), {"pool_size": 2, "padding": "same"}),
    (keras.layers.GlobalMaxPooling2D, (4, 3, 2), {}),
    (keras.layers.GlobalMaxPooling1D, (4, 3), {"keepdims": True}),
]


@pytest.mark.parametrize(("cls", "shape", "options"), POOLS)
def test_hard_selection_by_itself_is_max_pooling_and_by_another_is_not(
    cls, shape, options, rng
):
    pool = cls(**options, **LAST)
    x, other = (ops.convert_to_tensor(rng.normal(size=(3, *shape))) for _ in range(2))
    keep = {k: v for k, v in options.items() if k == "keepdims"}
    windows = {"pool_size": None, **{k: options[k] for k in options if k not in keep}}
    gate = SelectionGate(**windows, **LAST)
    pooling = SelectedPooling(**windows, **keep, **LAST)
    expected = to_numpy(pool(x))
    made = gate(x)
    assert_close(to_numpy(pooling([x, made])), expected)
    assert set(np.unique(to_numpy(made))) <= {0.0, 1.0}
    assert_close(to_numpy(ops.sum(made, axis=-1)), np.ones(made.shape[:-1]))
    if options.get("pool_size") != 1:
        with pytest.raises(AssertionError):
            assert_close(to_numpy(pooling([x, gate(other)])), expected)


@pytest.mark.once
def test_the_image_may_come_channels_first(rng):
    x = rng.normal(size=(3, 5, 6, 2)).astype("float32")
    first = np.moveaxis(x, -1, 1)
    for size in (2, None):
        last = SelectedPooling(size, **LAST)([x, SelectionGate(size, **LAST)(x)])
        options = {"data_format": "channels_first"}
        gate = SelectionGate(size, **options)(ops.convert_to_tensor(first))
        found = SelectedPooling(size, **options)([ops.convert_to_tensor(first), gate])
        moved = np.moveaxis(to_numpy(found), 1, -1)
        np.testing.assert_array_equal(moved, to_numpy(last))


@pytest.mark.once
def test_soft_selections_near_hard_ones_as_beta_grows(rng):
    x = ops.convert_to_tensor(rng.permutation(36).reshape(1, 6, 6, 1) / 36)
    hard = to_numpy(SelectionGate(3, mode="hard", **LAST)(x))
    far, near = (
        np.abs(to_numpy(SelectionGate(3, mode="soft", beta=b, **LAST)(x)) - hard).max()
        for b in (2.0, 1000.0)
    )
    assert near < 1e-6 < far


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("whole", [False, True])
def test_gates_select_under_xla_as_they_do_without(whole, rng):
    import tensorflow as tf

    options = {} if whole else {"strides": 2, "padding": "same"}
    options |= {"pool_size": None if whole else 3, **LAST}
    modes = ("hard", "soft", "straight_through")
    layers = {mode: SelectionGate(mode=mode, beta=2.0, **options) for mode in modes}
    pool = SelectedPooling(**options)
    kernel = ops.convert_to_tensor(rng.normal(size=(3, 3, 2, 4)).astype("float32"))
    x = rng.normal(size=(2, 7, 6, 2)).astype("float32")
    x[:, 4:] = 0  # where all the entries of a window are equal

    def run(x):
        q = ops.tanh(ops.conv(x, kernel, padding="same", data_format="channels_last"))
        with tf.GradientTape() as tape:
            tape.watch(q)
            gates = {mode: layer(q) for mode, layer in layers.items()}
            pooled = {mode: pool([q, gate]) for mode, gate in gates.items()}
            sums = sum(ops.sum(ops.square(y)) for y in pooled.values())
        return gates, pooled, q, tape.gradient(sums, q)

    eager = run(tf.constant(x))
    gates, pooled, q, slopes = tf.function(run, jit_compile=True)(tf.constant(x))
    for mode in modes:
        sums = to_numpy(gates[mode]).sum(-1)
        np.testing.assert_allclose(sums, np.ones_like(sums), rtol=1e-5)
        assert_close(to_numpy(pooled[mode]), to_numpy(eager[1][mode]))
    assert set(np.unique(to_numpy(gates["hard"]))) == {0.0, 1.0}
    assert_close(to_numpy(slopes), to_numpy(eager[3]))
    if whole:
        assert_close(to_numpy(pooled["hard"]), to_numpy(q).max((1, 2)))
    # The broken twin: it takes the entry after the one that is selected.
    other = pool([q, ops.roll(gates["hard"], 1, axis=-1)])
    assert distance(to_numpy(other), to_numpy(eager[1]["hard"])) > 1e-2
