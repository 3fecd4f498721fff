"""What a model cannot be made of, or asked: one line with what came."""

import functools

import numpy as np
import pytest
import tiny

import dlgn_keras as dk
from dlgn_keras.skeletons import Dense, Skeleton

FC = dk.skeletons.fc(3, 3)
WIDTHS = Skeleton((Dense(3), Dense(4), Dense(3)), "widths")


def make(family="dlgn", skeleton=FC, input_shape=(4,), num_classes=2, **options):
    return dk.models.FAMILIES[family](skeleton, input_shape, num_classes, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skeleton": 3}, "`skeleton` must be a Skeleton.*skeleton=3"),
        ({"skeleton": "fcc"}, "skeleton='fcc'. Did you mean 'fc'"),
        ({"input_shape": (4, 4, 4, 4)}, r"`input_shape` must be .*\(4, 4, 4, 4\)"),
        ({"input_shape": 4}, "`input_shape` must be .*input_shape=4"),
        ({"num_classes": 0}, "`num_classes` must be .*num_classes=0"),
        ({"num_classes": 2.0}, "`num_classes` must be .*num_classes=2.0"),
        ({"gate": "sotf"}, "`gate` must be one of .*'sotf'. Did you mean 'soft'"),
        ({"beta": 0}, "`beta` must be .*above 0.*beta=0"),
        ({"beta": -1.0}, "`beta` must be .*above 0.*beta=-1.0"),
        ({"beta": float("inf")}, "`beta` must be a finite number.*beta=inf"),
        ({"gate_scale": 0}, "`gate_scale` must be .*gate_scale=0"),
        ({"value_input": "one"}, "`value_input` must be .*'one'. Did you mean 'ones'"),
        (
            {"value_input": "ones", "batch_norm": True},
            "'ones' needs stages without batch norm up to the first gate.*'dense_1'",
        ),
        (
            {
                "value_input": "ones",
                "skeleton": Skeleton((Dense(3, gated=False), Dense(3, True)), "late"),
            },
            "'ones' needs .*batch norm in 'dense_2' of skeleton 'late'",
        ),
        (
            {
                "value_input": "ones",
                "skeleton": dk.skeletons.c4gap(2, padding="circular", batch_norm=True),
                "input_shape": (6, 6, 1),
            },
            "'ones' needs .*batch norm in 'conv_1'",
        ),
        ({"gate_order": (0, 1)}, r"permutation of 0..2.*gate_order=\(0, 1\)"),
        ({"gate_order": (0, 1, 1)}, r"permutation of 0..2.*\(0, 1, 1\)"),
        ({"gate_order": (1, 2, 3)}, r"permutation of 0..2.*\(1, 2, 3\)"),
        ({"gate_order": (0.5, 1, 2)}, r"permutation of 0..2.*0.5"),
        ({"gate_order": "012"}, "permutation of 0..2.*012"),
        ({"gate_order": 3}, "permutation of 0..2.*3"),
        (
            {"skeleton": WIDTHS, "gate_order": (1, 0, 2)},
            r"shapes: gates of dense_1 have shape \(3,\), site dense_2 needs \(4,\)",
        ),
        (
            {"skeleton": tiny.MAX_POOL[0], "input_shape": (4, 4, 1)},
            "`max_pool` must be 'average' for a DLGN.*'vgg16' with MaxPool",
        ),
        ({"max_pool": "mean"}, "`max_pool` must be None or 'average'.*'mean'"),
        (
            {"family": "dgn", "max_pool": "average"},
            "`max_pool` must be None for a DGN.*'average'",
        ),
        ({"family": "dgn", "shallow": True}, "`shallow` needs a linear.*use dk.DLGN"),
        ({"preprocessing": 0.5}, "`preprocessing` must be .*preprocessing=0.5"),
        ({"seed": -1}, "`seed` must be a whole number from 0 or None.*seed=-1"),
        ({"seed": 1.5}, "`seed` must be .*seed=1.5"),
        (
            {"skeleton": Skeleton((Dense(3, gated=False),), "bare")},
            "gated stage.*'bare'",
        ),
        ({"skeleton": dk.skeletons.c4gap(2), "input_shape": (4,)}, "'conv_1' needs"),
        ({"batch_norm": "yes"}, "`batch_norm` must be True or False.*'yes'"),
    ],
)
def test_a_model_that_cannot_be_made_is_told_why(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


one_of = functools.cache(make)


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("method", ["gates", "pre_activations", "value_inputs"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((2, 5)),
            r"`x` must have shape \(n, 4\).*Received: x of shape \(2, 5\)",
        ),
        (np.zeros(4), r"`x` must have shape \(n, 4\).*\(4,\)"),
        (np.float32(3), r"`x` must have shape \(n, 4\).*\(\)"),
        (np.zeros((0, 4)), r"`x` must have shape.*n at least 1.*\(0, 4\)"),
        (np.array([["a"] * 4]), "`x` must be numbers. Received: x of dtype <U1"),
        (np.array([[0, np.nan, 1, np.inf]]), "`x` must be finite.*2 NaN or infinite"),
        (np.ones((1, 4), complex), "`x` must be numbers.*complex128"),
    ],
)
def test_inputs_that_do_not_fit_are_told(family, method, x, message):
    with pytest.raises(ValueError, match=message):
        getattr(one_of(family), method)(x)


def test_unknown_gate_modes_and_networks_are_told():
    net = make()
    x = np.zeros((1, 4))
    with pytest.raises(ValueError, match=r"`gate` must be one of hard, soft.*'hrad'"):
        net.gates(x, mode="hrad")
    with pytest.raises(
        ValueError, match=r"`network` must be one of value, gating.*'v'"
    ):
        net.parameters("v")


def test_an_image_that_shallow_gating_cannot_reach_is_told():
    with pytest.raises(
        ValueError, match=r"`shallow` cannot reach site 'conv_2'.*which"
    ):
        make(
            skeleton=dk.skeletons.vgg16((2, 2), (1, 1), batch_norm=False),
            input_shape=(5, 5, 1),
            shallow=True,
        )


def test_inputs_of_another_kind_of_number_are_taken():
    net = make()
    x = np.array([[1, 0, 2, 3]])
    for kind in (x, x.astype("uint8"), x.astype(bool), x.astype(float), x.tolist()):
        assert net.gates(kind)["dense_1"].dtype == np.float32


def test_values_that_are_infinite_in_float32_are_told():
    net = make()
    net.gates(np.full((2, 4), 1e30))
    with pytest.raises(ValueError, match=r"finite.*8 NaN or infinite in float32"):
        net.gates(np.full((2, 4), 1e39))


def test_validation_data_are_on_the_scale_of_the_inputs():
    net, y = make(), np.arange(20) % 2
    net.compile("sgd", "mse")
    x = np.arange(80, dtype="uint8").reshape(20, 4)
    for held in (x / 80, (x / 80).astype("float32")):
        with pytest.raises(
            ValueError, match="`x` and `validation_data` must be on one"
        ):
            net.fit(x, y, validation_data=(held, y), verbose=0)
