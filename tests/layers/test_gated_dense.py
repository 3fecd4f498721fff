"""GatedDense: the Keras contract, and `gate * batch_norm(W z + b)` in NumPy."""

import keras
import numpy as np
import pytest
from contracts import call, check_layer, moved, perturb, values
from keras import ops
from tolerances import assert_close

from dlgn_keras.layers import GatedDense


def in_numpy(layer, inputs):
    """The formula, from the layer's own numbers."""
    z, *gate = (x.astype(float) for x in inputs)
    p = layer.parameters_at_inference()
    q = (z @ p.kernel + p.bias) * p.scale + p.shift
    return q * gate[0] if gate else q


@pytest.mark.parametrize(
    ("batch_norm", "gated", "middle"),
    [(False, False, ()), (True, True, ()), (False, True, (5,)), (True, False, (5,))],
)
def test_gated_dense_keeps_the_keras_contract(batch_norm, gated, middle, rng, tmp_path):
    z, units = (4, *middle, 3), (4, *middle, 6)
    check_layer(
        GatedDense,
        {"units": 6, "batch_norm": batch_norm, "use_bias": not batch_norm},
        [z, units] if gated else z,
        units,
        trainable=3 * 6 + (2 * 6 if batch_norm else 6),
        non_trainable=2 * 6 if batch_norm else 0,
        rng=rng,
        folder=tmp_path,
        reference=in_numpy,
    )


def test_every_argument_survives_the_config():
    layer = GatedDense(
        3,
        use_bias=False,
        batch_norm=True,
        kernel_initializer=keras.initializers.HeUniform(seed=7),
        bias_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(0.25),
    )
    again = GatedDense.from_config(layer.get_config())
    assert (again.units, again.use_bias, again.use_batch_norm) == (3, False, True)
    assert again.kernel_initializer.seed == 7
    assert type(again.bias_initializer) is keras.initializers.Ones
    assert again.kernel_regularizer.l2 == 0.25
    x = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(call(layer, [x]), call(again, [x]))


def test_the_regularizer_adds_its_loss(rng):
    layer = GatedDense(3, kernel_regularizer=keras.regularizers.L2(0.25))
    call(layer, [rng.normal(size=(2, 4)).astype("float32")])
    kernel = layer.parameters_at_inference().kernel
    assert_close(ops.convert_to_numpy(layer.losses[0]), 0.25 * (kernel**2).sum())


def test_batch_norm_uses_the_batch_in_training_and_its_averages_at_inference(rng):
    layer = GatedDense(5, use_bias=False, batch_norm=True)
    z = rng.normal(2.0, 3.0, size=(50, 4)).astype("float32")
    layer.build(z.shape)
    q = z.astype(float) @ layer.parameters_at_inference().kernel
    normal = (q - q.mean(0)) / np.sqrt(q.var(0) + 1e-5)
    assert_close(call(layer, [z], training=True), normal)
    averages = np.array(ops.convert_to_numpy(layer.batch_norm.moving_mean))
    assert_close(averages, 0.1 * q.mean(0))  # momentum 0.9, one step
    assert_close(call(layer, [z], training=False), in_numpy(layer, [z]))


def test_at_fixed_gates_the_layer_is_affine_in_z_and_multiplies_by_the_gate(rng):
    layer = GatedDense(6, batch_norm=True)
    a, b = rng.normal(size=(2, 3, 4)).astype("float32")
    gate = rng.uniform(size=(3, 6)).astype("float32")
    layer.build([a.shape, gate.shape])
    perturb(layer, rng)

    def f(z):
        return call(layer, [z, gate])

    assert_close(f(a) + f(b), f(a + b) + f(0 * a))
    assert_close(call(layer, [a, 0 * gate]), 0 * gate)
    assert_close(call(layer, [a, 2 * gate]), 2 * f(a))


def test_a_frozen_layer_keeps_weights_and_statistics_whenever_it_was_frozen(rng):
    x = rng.normal(size=(8, 3)).astype("float32")
    for early in (True, False):
        layer = GatedDense(4, batch_norm=True, trainable=not early)
        call(layer, [x])
        layer.trainable = False
        before = values(layer.weights)
        call(layer, [x], training=True)
        assert not moved(before, values(layer.weights)), f"{early=}"


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None, True])
def test_units_must_be_a_whole_number_of_at_least_one(units):
    with pytest.raises(ValueError, match=f"`units` must be .*units={units!r}"):
        GatedDense(units)


def test_a_gate_of_another_shape_is_told_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(2, 4\).*gate of shape \(2, 3\)"):
        GatedDense(4)([ops.ones((2, 3)), ops.ones((2, 3))])
    with pytest.raises(ValueError, match=r"`inputs` must be z or .*3 tensors"):
        GatedDense(4)([ops.ones((2, 3))] * 3)


def test_a_perturbed_weight_would_be_seen(rng):
    layer = GatedDense(4)
    x = [rng.normal(size=(2, 3)).astype("float32"), np.ones((2, 4), "float32")]
    expected = call(layer, x)
    kernel = ops.convert_to_numpy(layer.affine.kernel).copy()
    kernel[0, 0] += 0.01
    layer.affine.kernel.assign(kernel)
    with pytest.raises(AssertionError):
        assert_close(call(layer, x), expected)
