"""Shapes told ahead of any layer: by counting, and against the models built."""

import pytest
import tiny

from dlgn_keras import skeletons
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Skeleton,
)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_shapes_told_are_the_shapes_of_the_layers(kind):
    skeleton, shape = tiny.KINDS[kind]
    net = tiny.build("dnn", kind)
    told = skeletons.output_shapes(skeleton, shape)
    assert set(told) == {stage.name for stage in skeletons.walk(skeleton.stages)}
    for name, layer in net.network_layers("value").items():
        if name != "logits":
            assert told[name] == tuple(layer.output.shape[1:]), name
    assert net.sites == tuple((name, told[name]) for name in skeleton.site_names)


def positions(size, window, stride, padded):
    starts = range(0, size, stride) if padded else range(0, size - window + 1, stride)
    return len(starts)


@pytest.mark.parametrize("padding", ["same", "valid", "circular"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 2, 3])
def test_convolution_sizes_are_counted_one_by_one(window, stride, padding):
    conv = Conv(4, window, stride, padding)
    for size in range(3, 9):
        net = Skeleton((conv, Flatten()))
        shapes = skeletons.output_shapes(net, (size, 5, 2))
        rows, columns = (
            positions(n, window, stride, padding != "valid") for n in (size, 5)
        )
        assert shapes["conv_1"] == (rows, columns, 4)
        assert shapes["flatten_1"] == (rows * columns * 4,)
        assert skeletons.output_shapes(net, (size, 2))["conv_1"] == (rows, 4)


def test_pooling_drops_what_does_not_fill_a_window():
    net = Skeleton((AveragePool(2), MaxPool(3), GlobalPool()))
    shapes = skeletons.output_shapes(net, (13, 7, 2))
    assert [*shapes.values()] == [(6, 3, 2), (2, 1, 2), (2,)]


@pytest.mark.parametrize(
    ("stages", "shape", "message"),
    [
        ((Dense(3),), (4, 4, 1), "'dense_1' needs a vector.*GlobalPool.*4, 4, 1"),
        ((Conv(3), Flatten()), (4,), "'conv_1' needs .steps, channels.*4"),
        ((GlobalPool(),), (4,), "'global_pool_1' needs"),
        ((Conv(3),), (4, 4, 1), r"must end in a vector.*\(4, 4, 3\)"),
        ((AveragePool(3), Flatten()), (2, 5, 1), "window of 3, larger"),
        ((Conv(1, 3, padding="valid"), Flatten()), (2, 5, 1), "window of 3, larger"),
        ((Conv(1, 3, padding="circular"), Flatten()), (2, 5, 1), "window of 3, larger"),
        (
            (Residual((Conv(3),)), Flatten()),
            (4, 4, 1),
            r"branches of 'add_1'.*body \(4, 4, 3\), shortcut \(4, 4, 1\)",
        ),
    ],
)
def test_stages_that_do_not_fit_are_told_with_the_shape(stages, shape, message):
    with pytest.raises(ValueError, match=message):
        skeletons.output_shapes(Skeleton(stages), shape)


@pytest.mark.parametrize(
    "shape",
    [(), (0,), (-3, 2), (2, 2, 2, 2), 5, None, "abc", (2.5,), ("3",), (None, 1)],
)
def test_input_shape_must_be_one_to_three_whole_numbers(shape):
    with pytest.raises(ValueError, match=r"`input_shape` must be .*Received"):
        skeletons.check_input_shape(shape)
