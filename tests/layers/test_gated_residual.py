"""GatedAdd and GatedResidualBlock: the Keras contract, and the block in NumPy."""

import numpy as np
import oracle
import pytest
from contracts import call, check_layer, perturb
from keras import ops
from tolerances import assert_close

from dlgn_keras.layers import GatedAdd, GatedResidualBlock


@pytest.mark.parametrize(("shape", "gated"), [((4, 3), False), ((4, 2, 5, 3), True)])
def test_gated_add_keeps_the_keras_contract(shape, gated, rng, tmp_path):
    check_layer(
        GatedAdd,
        {},
        [shape] * (3 if gated else 2),
        shape,
        trainable=0,
        rng=rng,
        folder=tmp_path,
        reference=lambda layer, x: (x[0] + x[1]) * (x[2] if gated else 1),
    )


def in_numpy(block, inputs):
    """g2 * (conv(g1 * conv(z)) + shortcut(z)), channels last, by loops."""

    def last(x):
        x = x.astype(float)
        return np.moveaxis(x, 1, -1) if first else x

    def conv(layer, z):
        p = layer.parameters_at_inference()
        q = oracle.convolve(z, p.kernel, layer.strides, layer.padding) + p.bias
        return q * p.scale + p.shift

    first = block.inner.data_format == "channels_first"
    z, g1, g2 = map(last, inputs)
    body = conv(block.outer, g1 * conv(block.inner, z))
    shortcut = z if block.projection is None else conv(block.projection, z)
    y = g2 * (body + shortcut)
    return np.moveaxis(y, -1, 1) if first else y


@pytest.mark.parametrize(
    ("strides", "channels", "padding", "norm", "data_format"),
    [
        (1, 3, "same", True, "channels_first"),
        (1, 3, "circular", False, "channels_last"),
        (2, 2, "same", True, "channels_last"),
        (2, 3, "circular", False, "channels_first"),
    ],
)
def test_residual_block_keeps_the_keras_contract(
    strides, channels, padding, norm, data_format, rng, tmp_path
):
    def shape(*sizes):
        *space, channels = sizes
        return (4, channels, *space) if data_format == "channels_first" else (4, *sizes)

    out = shape(8 // strides, 6 // strides, 3)
    projected = strides > 1 or channels != 3
    kernels = 9 * channels * 3 + 9 * 3 * 3 + (channels * 3 if projected else 0)
    convs = 3 if projected else 2
    check_layer(
        GatedResidualBlock,
        {
            "filters": 3,
            "strides": strides,
            "padding": padding,
            "batch_norm": norm,
            "use_bias": not norm,
            "data_format": data_format,
        },
        [shape(8, 6, channels), out, out],
        out,
        trainable=kernels + convs * (2 * 3 if norm else 3),
        non_trainable=convs * 2 * 3 if norm else 0,
        rng=rng,
        folder=tmp_path,
        reference=in_numpy,
    )


def test_the_block_is_a_sum_over_its_two_sub_networks(rng):
    """Without biases: convolutions alone plus shortcut alone (THEORY: skips)."""
    block = GatedResidualBlock(2, batch_norm=False, data_format="channels_last")
    z, g1, g2 = rng.uniform(size=(3, 2, 4, 4, 2)).astype("float32")
    whole = call(block, [z, g1, g2])
    shortcut = call(block, [z, 0 * g1, g2])
    assert_close(shortcut, z * g2)
    perturb(block.outer, rng)
    assert_close(call(block, [z, 0 * g1, g2]), shortcut)
    with pytest.raises(AssertionError):  # the convolutions' part did change
        assert_close(call(block, [z, g1, g2]), whole)


def test_the_two_convolutions_draw_different_weights():
    block = GatedResidualBlock(2, data_format="channels_last")
    block.build([(1, 4, 4, 2)] * 3)
    inner, outer = (
        c.parameters_at_inference().kernel for c in (block.inner, block.outer)
    )
    assert not np.allclose(inner, outer)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"padding": "valid"}, "`padding` must be 'same' or 'circular'.*'valid'"),
        ({"padding": "sam"}, "`padding` must be .*'sam'. Did you mean 'same'"),
        ({"filters": 0}, "`filters` must be .*filters=0"),
    ],
)
def test_bad_arguments_are_told(kwargs, message):
    with pytest.raises(ValueError, match=message):
        GatedResidualBlock(**{"filters": 2, **kwargs})


def test_wrong_numbers_and_shapes_of_tensors_are_told():
    a, b = ops.ones((1, 2)), ops.ones((1, 3))
    with pytest.raises(ValueError, match=r"one shape.*\(1, 2\) and \(1, 3\)"):
        GatedAdd()([a, b])
    with pytest.raises(ValueError, match=r"gate of shape \(1, 3\)"):
        GatedAdd()([a, a, b])
    with pytest.raises(ValueError, match="with 1 tensors"):
        GatedAdd()([a])
    with pytest.raises(ValueError, match=r"`inputs` must be \[a, b\]"):
        GatedAdd()(a)
    z = ops.ones((1, 4, 4, 2))
    with pytest.raises(ValueError, match=r"`inputs` must be \[z, g1, g2\]"):
        GatedResidualBlock(2)(z)
    with pytest.raises(ValueError, match="gate of shape"):
        GatedResidualBlock(2, data_format="channels_last")([z, z, z[:, :2]])
