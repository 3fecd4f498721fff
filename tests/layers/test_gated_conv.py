"""GatedConv1D and GatedConv2D: the Keras contract, and a convolution by loops."""

import itertools

import keras
import numpy as np
import oracle
import pytest
from contracts import call, check_layer
from keras import ops
from tolerances import assert_close

from dlgn_keras.layers import GatedConv, GatedConv1D, GatedConv2D

FORMATS = ("channels_last", "channels_first")


def last(x, data_format):
    return np.moveaxis(x, 1, -1) if data_format == "channels_first" else x


def first(shape, data_format):
    if data_format == "channels_last":
        return shape
    return (shape[0], shape[-1], *shape[1:-1])


def in_numpy(layer, inputs):
    """The formula on channels-last arrays, from the layer's own numbers."""
    z, *gate = (last(x.astype(float), layer.data_format) for x in inputs)
    p = layer.parameters_at_inference()
    how = (layer.strides, layer.padding, layer.dilation_rate[0])
    q = oracle.convolve(z, p.kernel, *how) + p.bias
    q = (q * p.scale + p.shift) * (gate[0] if gate else 1)
    return np.moveaxis(q, -1, 1) if layer.data_format == "channels_first" else q


def out_size(n, window, stride, padding):
    """Positions of a window, counted one by one."""
    if padding == "valid":
        return len(range(0, n - window + 1, stride))
    return len(range(0, n, stride))


PADDINGS = ("same", "valid", "circular")
GEOMETRIES = [  # image, window, strides: odd, even, oblong, larger than the stride
    ((5, 6), (3, 3), (1, 1)),
    ((5, 6), (2, 3), (2, 2)),
    ((6, 5), (4, 2), (1, 3)),
    ((4, 4), (1, 1), (2, 2)),
]


@pytest.mark.parametrize(
    ("data_format", "padding"), list(itertools.product(FORMATS, PADDINGS))
)
@pytest.mark.parametrize(("image", "window", "strides"), GEOMETRIES)
def test_2d_convolution_equals_loops(image, window, strides, padding, data_format, rng):
    layer = GatedConv2D(3, window, strides, padding, data_format)
    axes = zip(image, window, strides, strict=True)
    sizes = [out_size(*axis, padding) for axis in axes]
    z = rng.normal(size=first((2, *image, 2), data_format)).astype("float32")
    gate = rng.uniform(size=first((2, *sizes, 3), data_format)).astype("float32")
    y = call(layer, [z, gate])
    assert y.shape == gate.shape
    assert_close(y, in_numpy(layer, [z, gate]))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("window", "stride"), [(3, 1), (2, 2), (5, 3)])
def test_1d_convolution_equals_loops(window, stride, padding, data_format, rng):
    layer = GatedConv1D(3, window, stride, padding, data_format)
    z = rng.normal(size=first((2, 7, 2), data_format)).astype("float32")
    y = call(layer, [z])
    shape = first((2, out_size(7, window, stride, padding), 3), data_format)
    assert y.shape == shape
    assert_close(y, in_numpy(layer, [z]))


CASES = [
    (GatedConv2D, (5, 4), FORMATS[0], {"padding": "circular", "batch_norm": True}),
    (GatedConv2D, (5, 4), FORMATS[1], {"padding": "same", "batch_norm": True}),
    (GatedConv2D, (7, 3), FORMATS[1], {"padding": "circular", "strides": 2}),
    (GatedConv2D, (5, 4), FORMATS[0], {"padding": "valid", "strides": (2, 1)}),
    (GatedConv1D, (6,), FORMATS[1], {"padding": "circular", "strides": 2}),
    (GatedConv1D, (6,), FORMATS[0], {"padding": "valid", "batch_norm": True}),
    (GatedConv2D, (5, 6), FORMATS[1], {"padding": "circular", "dilation_rate": 2}),
]


@pytest.mark.parametrize(("layer_cls", "image", "data_format", "kwargs"), CASES)
def test_gated_conv_keeps_the_keras_contract(
    layer_cls, image, data_format, kwargs, rng, tmp_path
):
    norm = kwargs.get("batch_norm", False)
    strides = np.broadcast_to(kwargs.get("strides", 1), len(image))
    axes = zip(image, strides, strict=True)
    sizes = [out_size(n, 3, int(s), kwargs["padding"]) for n, s in axes]
    output = first((4, *sizes, 3), data_format)
    check_layer(
        layer_cls,
        {
            "filters": 3,
            "kernel_size": 3,
            "data_format": data_format,
            "use_bias": not norm,
            **kwargs,
        },
        [first((4, *image, 2), data_format), output],
        output,
        trainable=3 ** len(image) * 2 * 3 + (2 * 3 if norm else 3),
        non_trainable=2 * 3 if norm else 0,
        rng=rng,
        folder=tmp_path,
        reference=in_numpy,
    )


KERAS_ARGUMENTS = [
    {"dilation_rate": 2, "padding": "same"},
    {"dilation_rate": 3, "padding": "valid"},
    {"groups": 4, "padding": "same"},
    {"groups": 2, "padding": "valid", "strides": 2},
]


@pytest.mark.parametrize("options", KERAS_ARGUMENTS, ids=str)
@pytest.mark.parametrize("rank", [1, 2])
def test_arguments_of_keras_mean_what_they_mean_in_keras(rank, options, rng):
    ours, theirs = (
        (GatedConv1D, GatedConv2D),
        (keras.layers.Conv1D, keras.layers.Conv2D),
    )
    options = {**options, "data_format": "channels_last"}
    layer, twin = ours[rank - 1](4, 3, **options), theirs[rank - 1](4, 3, **options)
    z = rng.normal(size=(2, *(9, 7)[:rank], 4)).astype("float32")
    layer.build(z.shape)
    twin.build(z.shape)
    twin.set_weights(layer.affine.get_weights())
    expected = ops.convert_to_numpy(twin(z))
    assert_close(call(layer, [z]), expected)
    assert layer.compute_output_shape(z.shape) == expected.shape
    again = type(layer).from_config(layer.get_config())
    again.build(z.shape)
    again.set_weights(layer.get_weights())
    assert_close(call(again, [z]), expected)


@pytest.mark.parametrize(("channels", "strides"), [(3, 2), (5, (1, 2)), (8, 2)])
def test_a_strided_window_of_one_learns_from_what_it_sees(channels, strides, rng):
    """One step against the gradient in NumPy; few channels crashed torch on CPUs."""
    layer = GatedConv2D(3, 1, strides, data_format="channels_last", use_bias=False)
    z = rng.normal(size=(4, 8, 6, channels)).astype("float32")
    model = keras.Sequential([keras.Input(z.shape[1:]), layer])
    y = rng.normal(size=(4, *model.output_shape[1:])).astype("float32")
    kernel = ops.convert_to_numpy(layer.affine.kernel).copy()
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(z, y, batch_size=4, epochs=1, verbose=0)

    down, right = layer.strides
    seen = z[:, ::down, ::right].astype(float)
    error = 2 * (seen @ kernel[0, 0] - y) / y.size
    expected = kernel - 0.1 * np.einsum("nijc,nijf->cf", seen, error)
    assert_close(layer.affine.kernel, expected)


def test_a_circular_shift_of_the_image_shifts_the_output_and_only_so_when_circular(rng):
    z = rng.normal(size=(1, 5, 6, 2)).astype("float32")
    for padding in ("circular", "same"):
        layer = GatedConv2D(3, 3, padding=padding, data_format="channels_last")
        shifted = call(layer, [np.roll(z, (2, 1), (1, 2))])
        same = np.allclose(
            shifted, np.roll(call(layer, [z]), (2, 1), (1, 2)), atol=1e-5
        )
        assert same == (padding == "circular")


def test_the_data_format_follows_keras_setting_unless_given():
    import keras

    assert GatedConv2D(3, 3).data_format == keras.config.image_data_format()
    assert GatedConv is GatedConv2D


def test_images_of_unknown_size_are_taken_unless_padding_is_circular():
    import keras

    z = keras.Input((None, None, 2))
    layer = GatedConv2D(3, 3, data_format="channels_last")
    assert layer(z).shape == (None, None, None, 3)
    with pytest.raises(ValueError, match="known size"):
        GatedConv2D(3, 3, padding="circular", data_format="channels_last")(z)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"filters": 0}, "`filters` must be .* filters=0"),
        ({"kernel_size": (3,)}, r"`kernel_size` must be .*2 numbers.*\(3,\)"),
        ({"kernel_size": 0}, "`kernel_size` must be .*kernel_size=0"),
        ({"kernel_size": None}, "`kernel_size` must be .*kernel_size=None"),
        ({"strides": (1, 2, 3)}, r"`strides` must be .*\(1, 2, 3\)"),
        ({"padding": "circle"}, "`padding` .*'circle'. Did you mean 'circular'"),
        ({"data_format": "NHWC"}, "`data_format` must be one of channels_first"),
    ],
)
def test_bad_arguments_are_told(kwargs, message):
    with pytest.raises(ValueError, match=message):
        GatedConv2D(**{"filters": 2, "kernel_size": 3, **kwargs})


@pytest.mark.once
@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_an_image_smaller_than_the_window_is_told(padding):
    layer = GatedConv2D(2, 3, padding=padding, data_format="channels_last")
    with pytest.raises(ValueError, match=r"at least the kernel's.*\(1, 2, 5, 1\)"):
        layer(ops.ones((1, 2, 5, 1)))
    with pytest.raises(ValueError, match=r"inputs of rank 4.*shape \(1, 5, 1\)"):
        GatedConv2D(2, 3)(ops.ones((1, 5, 1)))


@pytest.mark.once
def test_wrong_padding_would_be_seen(rng):
    """Broken twin: zeros in place of the wrapped image, one weight perturbed."""
    z = rng.normal(size=(1, 4, 4, 1)).astype("float32")
    layer = GatedConv2D(2, 3, padding="circular", data_format="channels_last")
    y = call(layer, [z])
    p = layer.parameters_at_inference()
    with pytest.raises(AssertionError):
        assert_close(y, oracle.convolve(z, p.kernel, 1, "same"))
    p.kernel[0, 0, 0, 0] += 0.01
    with pytest.raises(AssertionError):
        assert_close(y, oracle.convolve(z, p.kernel, 1, "circular"))
