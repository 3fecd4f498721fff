"""Skeletons as pure data: json round trips, names, order, and what is no skeleton."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    walk,
)

SIZES = st.integers(1, 9)
FLAGS = st.booleans()
LEAVES = st.one_of(
    st.builds(Dense, SIZES, FLAGS, FLAGS),
    st.builds(
        Conv,
        SIZES,
        SIZES,
        SIZES,
        st.sampled_from(["same", "valid", "circular"]),
        FLAGS,
        FLAGS,
    ),
    st.builds(AveragePool, SIZES),
    st.builds(MaxPool, SIZES),
    st.just(GlobalPool()),
    st.just(Flatten()),
)
STAGES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Residual,
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.lists(inner, max_size=2).map(tuple),
        FLAGS,
    ),
    max_leaves=8,
)
NAMES = st.text(max_size=9).filter(lambda name: "/" not in name and name.isprintable())
SKELETONS = st.builds(
    Skeleton, st.lists(STAGES, min_size=1, max_size=6).map(tuple), NAMES
)


@given(SKELETONS)
def test_any_skeleton_survives_json(skeleton):
    assert Skeleton.from_json(skeleton.to_json()) == skeleton
    config = json.loads(json.dumps(skeleton.to_config()))
    assert Skeleton.from_config(config) == skeleton
    assert hash(Skeleton.from_config(config)) == hash(skeleton)


@given(SKELETONS)
def test_every_stage_has_a_name_of_its_own_and_sites_are_the_gated_ones(skeleton):
    stages = list(walk(skeleton.stages))
    names = [stage.name for stage in stages]
    assert all(names)
    assert len(set(names)) == len(names)
    gated = [s.name for s in stages if getattr(s, "gated", False)]
    assert list(skeleton.site_names) == gated
    assert skeleton.has_max_pool == any(isinstance(s, MaxPool) for s in stages)


@given(SKELETONS, FLAGS)
def test_batch_norm_is_put_everywhere_or_nowhere_and_nothing_else_changes(
    skeleton, norm
):
    changed = skeleton.with_batch_norm(norm)
    for before, after in zip(walk(skeleton.stages), walk(changed.stages), strict=True):
        assert before.name == after.name
        if isinstance(after, Dense | Conv):
            assert after.batch_norm is norm
    again = changed.to_json().replace('"batch_norm": true', '"batch_norm": false')
    plain = skeleton.to_json().replace('"batch_norm": true', '"batch_norm": false')
    assert again == plain


def test_a_block_comes_after_its_contents_body_before_shortcut():
    block = Residual((Conv(2), Conv(2, gated=False)), (Conv(2, 1, gated=False),))
    net = Skeleton((Conv(2), block, block, GlobalPool()))
    assert [s.name for s in walk(net.stages)] == [
        *("conv_1", "conv_2", "conv_3", "conv_4", "add_1"),
        *("conv_5", "conv_6", "conv_7", "add_2", "global_pool_1"),
    ]
    assert net.site_names == ("conv_1", "conv_2", "add_1", "conv_5", "add_2")


def test_skeletons_are_values():
    net = skeletons.c4gap(8)
    assert net == skeletons.c4gap(8)
    assert net != skeletons.c4gap(9)
    with pytest.raises(AttributeError):
        net.name = "other"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Skeleton(()), r"`stages` must have a stage. Received: stages=\(\)"),
        (
            lambda: Skeleton((3,)),
            "`stages` must be a tuple of stages .Dense, Conv.*: 3",
        ),
        (lambda: Skeleton(Dense(3)), "`stages` must be a tuple of stages"),
        (lambda: Skeleton(None), "`stages` must be a tuple of stages .*None"),
        (lambda: Residual(()), r"`body` of Residual must have a stage.*body=\(\)"),
        (lambda: Residual((3,)), "`body` must be a tuple of stages.*3"),
        (lambda: Residual((Dense(3),), 5), "`shortcut` must be a tuple of stages.*5"),
        (
            lambda: Skeleton((Dense(3, name="a"), Dense(3, name="a"))),
            r"names must differ.*\['a'\]",
        ),
        (
            lambda: Skeleton((Dense(3, name="logits"),)),
            r"from inputs, logits.*\['logits'\]",
        ),
        (lambda: Skeleton((Dense(3, name="inputs"),)), r"from inputs.*\['inputs'\]"),
        (
            lambda: Skeleton((Dense(3, name="a/b"),)),
            "text that prints, without a slash.*'a/b'",
        ),
        (lambda: Skeleton((Dense(3, name=7),)), "Names must be text.*name=7"),
        (lambda: Skeleton((Dense(3, name="a_gate"),)), "end in _gate or _relu.*a_gate"),
        (lambda: Skeleton((Dense(3),), name="../up"), "Names must be text.*up"),
        (lambda: Dense(0), "`units` must be .*units=0"),
        (lambda: Dense(2.0), "`units` must be .*units=2.0"),
        (lambda: Dense(2, gated="no"), "`gated` must be True or False.*'no'"),
        (lambda: Dense(2, batch_norm=1), "`batch_norm` must be True or False.*=1"),
        (lambda: Conv(3, kernel_size=0), "`kernel_size` must be .*kernel_size=0"),
        (lambda: Conv(3, strides=-1), "`strides` must be .*strides=-1"),
        (lambda: Conv(3, padding="full"), "`padding` must be one of .*'full'"),
        (lambda: AveragePool(0), "`pool_size` must be .*pool_size=0"),
        (lambda: MaxPool("2"), "`pool_size` must be .*pool_size='2'"),
    ],
)
def test_what_is_no_skeleton_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "dictionary with a list `stages`"),
        ([], "dictionary with a list `stages`"),
        ({"stages": ["dense"]}, "stage must be a dictionary.*'dense'"),
        ({"stages": [{"kind": "danse"}]}, "`kind` must be .*Did you mean 'dense'"),
        ({"stages": [{}]}, "`kind` must be one of dense, conv"),
        ({"stages": [{"kind": "dense"}]}, "'dense' needs units"),
        ({"stages": [{"kind": "dense", "unit": 3}]}, "unit. Did you mean 'units'"),
        ({"stages": [{"kind": "dense", "units": None}]}, "`units` must be .*None"),
        ({"stages": [{"kind": "add", "body": 3}]}, "`body` must be a list.*3"),
        ({"stages": [{"kind": ["dense"]}]}, "`kind` must be one of"),
    ],
)
def test_a_config_that_is_no_skeleton_is_told(config, message):
    with pytest.raises(ValueError, match=message):
        Skeleton.from_config(config)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["kind", "units", "body", "filters", "name", "gated"]),
            inner | st.sampled_from(["dense", "conv", "add", "flatten"]),
            max_size=4,
        )
    ),
)


@given(VALUES, VALUES)
def test_any_json_gives_a_skeleton_or_a_value_error(stages, name):
    with contextlib.suppress(ValueError):
        Skeleton.from_json(json.dumps({"stages": stages, "name": name}))
