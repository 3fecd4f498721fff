"""The number of weights from shapes is the one of the model that Keras builds."""

import pytest
import tiny

import dlgn_keras as dk
from dlgn_keras.models import sizes
from dlgn_keras.models.sizes import count_weights
from dlgn_keras.skeletons import Conv, Dense, Flatten, MaxPool, Residual, Skeleton

# Stages after the last site, which a gating network leaves out.
TAILS = {
    "tail": (Skeleton((Dense(3), Dense(5, gated=False))), (4,)),
    "tail_of_a_block": (
        Skeleton(
            (
                Residual(
                    (Dense(3), Dense(2, gated=False)),
                    (Dense(2, gated=False),),
                    gated=False,
                ),
                Dense(4, batch_norm=True, gated=False),
            )
        ),
        (4,),
    ),
    "site_in_a_shortcut": (
        Skeleton(
            (Residual((Dense(2, gated=False),), (Dense(3), Dense(2)), gated=False),)
        ),
        (4,),
    ),
    "max_pool_last": (
        Skeleton((Conv(2, groups=1), MaxPool(2), Conv(3, gated=False), Flatten())),
        (4, 4, 2),
    ),
    "groups": (Skeleton((Conv(4, 2, groups=2, dilation=2), Flatten())), (5, 5, 2)),
}


def same(net):
    return count_weights(type(net), net.get_config()) == net.count_params()


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("kind", [*tiny.KINDS, *TAILS])
def test_the_count_is_that_of_the_model(family, kind):
    options = {"max_pool": "average"} if (family, kind[:3]) == ("dlgn", "max") else {}
    assert same(tiny.build(family, TAILS.get(kind, kind), **options))


@pytest.mark.parametrize(
    "options",
    [
        {"gating_bias": False, "value_bias": True},
        {"value_input": "ones"},
        {"value_input": "ones", "value": "tensor", "value_bias": True},
        {"shallow": True},
        {"batch_norm": True},
        {"preprocessing": dk.data.Preprocessing(0.5, [0.0, 1.0, 2.0, 3.0])},
    ],
)
def test_options_count(options):
    skeleton, shape = tiny.KINDS["fc"]
    assert same(dk.DLGN(skeleton, shape, tiny.CLASSES, **options))


@pytest.mark.parametrize("kind", ["gconv", "c4gap", "sequence"])
def test_shallow_convolutions_count(kind):
    assert same(tiny.build("dlgn", kind, shallow=True))


def test_a_forgotten_number_is_seen(monkeypatch):
    monkeypatch.setattr(sizes, "_vectors", lambda stage, bias: 0)
    assert not same(tiny.build("dnn", "fc"))
