"""The published architectures: widths, depths, parameter counts by hand, names."""

import contextlib
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlgn_keras as dk
from dlgn_keras import skeletons
from dlgn_keras.skeletons import AveragePool, Conv, Dense, GlobalPool, MaxPool, Residual


def of(skeleton, kind):
    return [s for s in skeletons.walk(skeleton.stages) if isinstance(s, kind)]


def test_published_widths_are_the_defaults():
    assert [s.units for s in of(skeletons.fc(), Dense)] == [128] * 5
    for net in (skeletons.vconv(), skeletons.gconv()):
        assert [s.filters for s in of(net, Conv)] == [64, 64, 128, 128]
        assert [s.units for s in of(net, Dense)] == [256, 256]
    assert [s.filters for s in of(skeletons.c4gap(), Conv)] == [128] * 4
    assert [s.filters for s in of(skeletons.vgg16(), Conv)] == (
        [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    )
    plain = ("fc", "vconv", "gconv", "c4gap")
    normed = {
        name
        for name, make in skeletons.ARCHITECTURES.items()
        if any(s.batch_norm for s in of(make(), Dense | Conv))
    }
    assert normed == set(skeletons.ARCHITECTURES) - set(plain)
    for make in skeletons.ARCHITECTURES.values():
        assert {s.kernel_size for s in of(make(), Conv)} <= {1, 3}
        assert {s.padding for s in of(make(), Conv)} <= {"same"}


@pytest.mark.parametrize("depth", [8, 20, 56, 110])
def test_resnet_has_6n_plus_2_weight_layers_and_two_sites_a_block(depth):
    net = skeletons.resnet(depth)
    n = (depth - 2) // 6
    blocks = of(net, Residual)
    on_the_way = [s for s in of(net, Conv) if s.kernel_size == 3]
    assert len(on_the_way) + 1 == depth  # the logits are the last
    assert len(blocks) == 3 * n
    assert [b.body[0].filters for b in blocks] == [16] * n + [32] * n + [64] * n
    assert len(net.site_names) == 1 + 2 * 3 * n
    assert sum(bool(b.shortcut) for b in blocks) == 2
    shapes = skeletons.output_shapes(net, (32, 32, 3))
    assert {shapes[b.name] for b in blocks} == {(32, 32, 16), (16, 16, 32), (8, 8, 64)}


def test_vgg16_has_13_convolutions_and_a_pool_after_each_group():
    for pooling, kind in (("average", AveragePool), ("max", MaxPool)):
        net = skeletons.vgg16(pooling=pooling)
        kinds = [type(s) for s in net.stages]
        groups = [[Conv] * n + [kind] for n in (2, 2, 3, 3, 3)]
        assert kinds == [*itertools.chain(*groups), GlobalPool]
    assert skeletons.vgg16(pooling="max").has_max_pool
    assert not skeletons.vgg16().has_max_pool


def weights(widths, image_channels=3, window=9, bias=0):
    """Numbers of a chain of convolutions, layer by layer."""
    pairs = zip([image_channels, *widths], widths, strict=False)
    return sum(window * a * b + bias * b for a, b in pairs)


def resnet_count(depth, classes=10):
    """Kernels, two trainable numbers of batch norm a channel, and the logits."""
    n = (depth - 2) // 6
    widths = [16] * (2 * n + 1) + [32] * 2 * n + [64] * 2 * n
    shortcuts = 16 * 32 + 32 * 64
    norms = 2 * (sum(widths) + 32 + 64)
    return weights(widths) + shortcuts + norms + 64 * classes + classes


def trainable(net):
    return sum(math.prod(v.shape) for v in net.trainable_variables)


@pytest.mark.parametrize(
    ("skeleton", "shape", "formula"),
    [
        (skeletons.fc(), (28, 28, 1), 784 * 128 + 4 * 128**2 + 5 * 128 + 129 * 10),
        (
            skeletons.vgg16(batch_norm=False),
            (32, 32, 3),
            weights([64] * 2 + [128] * 2 + [256] * 3 + [512] * 6, bias=1) + 513 * 10,
        ),
        (skeletons.resnet(20), (32, 32, 3), resnet_count(20)),
        (skeletons.c4gap(), (32, 32, 3), weights([128] * 4, bias=1) + 129 * 10),
        (
            skeletons.gconv(),
            (32, 32, 3),
            weights([64, 64, 128, 128], bias=1) + 129 * 256 + 257 * 256 + 257 * 10,
        ),
        (
            skeletons.vconv(),
            (8, 8, 3),
            weights([64, 64, 128, 128], bias=1)
            + (64 * 128 + 1) * 256
            + 257 * 256
            + 257 * 10,
        ),
    ],
    ids=["fc", "vgg16", "resnet20", "c4gap", "gconv", "vconv"],
)
def test_parameter_counts_are_the_sums_of_the_layers(skeleton, shape, formula):
    assert trainable(dk.DNN(skeleton, shape, 10)) == formula


def test_the_sums_are_the_published_counts():
    """VGG-16 below its dense layers, and ResNet-20 with projections, batch norm."""
    vgg16 = weights([64] * 2 + [128] * 2 + [256] * 3 + [512] * 6, bias=1)
    assert vgg16 == 14_714_688
    assert resnet_count(20) == 272_474


def test_resnet110_has_its_published_size_by_the_formula_that_resnet20_obeys():
    kernels = 0
    net = skeletons.resnet(110)
    shapes = skeletons.output_shapes(net, (32, 32, 3))
    channels = {"conv_1": 3}
    for block in of(net, Residual):
        inner, outer = block.body
        before = 16 if inner.filters == 16 else inner.filters // inner.strides
        channels |= {inner.name: before, outer.name: inner.filters}
        channels |= {s.name: before for s in block.shortcut}
    for conv in of(net, Conv):
        kernels += conv.kernel_size**2 * channels[conv.name] * shapes[conv.name][-1]
        kernels += 2 * conv.filters
    assert kernels + 650 == resnet_count(110) == 1_730_714


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fc", skeletons.fc()),
        ("fc:depth=4,width=20", skeletons.fc(4, 20)),
        ("fc: depth=4, batch_norm=true", skeletons.fc(4, batch_norm=True)),
        ("gconv:filters=16-16-32,units=64", skeletons.gconv((16, 16, 32), (64,))),
        ("vconv:padding=circular", skeletons.vconv(padding="circular")),
        ("resnet", skeletons.resnet(110)),
        ("resnet20", skeletons.resnet(20)),
        ("resnet20:batch_norm=false", skeletons.resnet(20, batch_norm=False)),
        ("resnet:depth=8,widths=4-4-8", skeletons.resnet(8, (4, 4, 8))),
        ("vgg16:pooling=max", skeletons.vgg16(pooling="max")),
    ],
)
def test_a_short_text_names_a_skeleton(text, expected):
    assert skeletons.parse(text) == expected


def test_a_json_file_names_a_skeleton(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(skeletons.gconv((4,), (5,)).to_json(indent=2))
    assert skeletons.parse(str(path)) == skeletons.gconv((4,), (5,))
    path.write_text("{")
    with pytest.raises(ValueError, match="must be json"):
        skeletons.parse(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fcc", "`skeleton` must be one of fc, vconv.*'fcc'. Did you mean 'fc'"),
        ("resnet21", "`depth` must be 6n . 2.*depth=21"),
        ("resnet:depth=2", "`depth` must be 6n . 2.*depth=2"),
        ("fc:deph=3", "options of fc.*'deph=3'. Did you mean 'depth'"),
        ("fc:depth=0", "`depth` must be a whole number of at least 1.*depth=0"),
        ("fc:depth=-5", "`depth` must be a whole number of at least 1.*-5"),
        ("fc:depth=x", "`depth` must be a whole number.*depth='x'"),
        ("fc:depth", "`depth` must be a whole number.*depth=''"),
        ("fc:width=3-4", "`units` must be a whole number.*'3-4'"),
        ("fc:batch_norm=no", "`batch_norm` must be True or False.*'no'"),
        ("vconv:padding=circle", "`padding` must be .*'circle'. Did you mean 'circ"),
        ("vgg16:pooling=maxi", "`pooling` must be one of average, max.*'maxi'"),
        ("vgg16:widths=4-4", "one entry per group.*widths=.4, 4."),
    ],
)
def test_a_text_that_names_none_is_told_why(text, message):
    with pytest.raises(ValueError, match=message):
        skeletons.parse(text)


def test_a_missing_json_file_is_told():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        skeletons.parse("nowhere.json")


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(ValueError, FileNotFoundError):
        skeletons.parse(text)


@pytest.mark.parametrize("depth", [20.0, 21, "20", None, True, -4])
def test_resnet_depth_must_be_6n_plus_2(depth):
    with pytest.raises(ValueError, match="`depth` must be"):
        skeletons.resnet(depth)
