"""DLGN-VT: a DLGN or DGN whose paths have free values, and what it cannot be asked."""

import keras
import numpy as np
import pytest
from tolerances import assert_close

import dlgn_keras as dk

SKELETON = dk.skeletons.fc(3, 4)
OPTIONS = {"value": "tensor", "value_input": "ones", "seed": 1}


def make(family=dk.DLGN, **options):
    return family(SKELETON, (5,), 3, **{**OPTIONS, **options})


@pytest.fixture
def x(rng):
    return rng.normal(size=(6, 5)).astype("float32")


@pytest.mark.parametrize(
    ("family", "options"),
    [(dk.DLGN, {"shallow": True}), (dk.DGN, {"gate_order": (2, 0, 1)})],
)
def test_the_logits_are_the_gates_contracted_with_the_tensor(family, options, x):
    net = make(family, **options)
    gates = list(net.gates(x).values())
    assert net.value_tensor.shape == (4, 4, 4, 3)
    expected = np.einsum("na,nb,nc,abck->nk", *gates, net.value_tensor)
    assert_close(net.predict(x, verbose=0), expected)
    swapped = np.einsum("na,nb,nc,back->nk", *gates, net.value_tensor)
    assert np.abs(swapped - expected).max() > 1e-3


def test_a_rank_one_tensor_is_a_value_network_of_the_same_gates(x):
    # Values that are products of weights: where VT holds the DLGN as a special case.
    net, tensor = make(value="network", value_bias=False), make()
    tensor.gating_network.set_weights(net.gating_network.get_weights())
    first, *chain = [p.kernel for p in net.parameters("value").values()]
    values = np.einsum("a,ab,bc,ck->abck", first.sum(axis=0), *chain)
    tensor.network_layers("value")["value_tensor"].path_values.assign(values)
    assert_close(tensor.predict(x, verbose=0), net.predict(x, verbose=0))
    assert net.value_tensor is None


def test_it_is_saved_collapsed_and_read_like_any_dlgn(x, tmp_path):
    net = make()
    logits = net.predict(x, verbose=0)
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    assert again.arguments["value"] == "tensor"
    assert_close(again.predict(x, verbose=0), logits)
    net.save_to_preset(tmp_path / "dlgn_vt")
    assert_close(dk.from_preset(tmp_path / "dlgn_vt").predict(x, verbose=0), logits)
    assert_close(dk.collapse(net).predict(x, verbose=0), logits)
    assert len(dk.models.affine_gates(net)) == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda net, x: net.explain(x),
        lambda net, x: dk.kernels.npk(net, x),
        lambda net, x: dk.interpret.top_paths(net, x[:1], 0, 3),
        lambda net, x: net.parameters("value"),
    ],
)
def test_what_reads_a_value_network_says_that_there_is_none(ask, x):
    with pytest.raises(ValueError, match="value tensor in place of a value network"):
        ask(make(), x)


@pytest.mark.parametrize(
    ("skeleton", "options", "message"),
    [
        (SKELETON, {"value": "tensr"}, "Did you mean 'tensor'"),
        (SKELETON, {"value_input": "input"}, "`value_input` must be 'ones'"),
        (dk.skeletons.fc(4, 32), {}, "at most 1,000,000 of them"),
        (dk.skeletons.vconv(filters=(2, 2)), {}, "gated dense stages"),
    ],
)
def test_where_a_tensor_cannot_stand_it_says_why(skeleton, options, message):
    shape = (8, 8, 3) if skeleton.name == "vconv" else (5,)
    with pytest.raises(ValueError, match=message):
        dk.DLGN(skeleton, shape, 3, **{**OPTIONS, **options})
