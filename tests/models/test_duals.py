"""disentangle and collapse: other models with the same logits."""

import keras
import numpy as np
import oracle
import pytest
import tiny
from contracts import EAGERLY
from tolerances import assert_close

import dlgn_keras as dk


@pytest.mark.parametrize("kind", ["fc_batch_norm", "vconv", "resnet", "sequence"])
def test_a_trained_dnn_and_its_dual_have_equal_logits_and_a_perturbed_one_not(
    kind, rng
):
    preprocessing = dk.data.Preprocessing(0.5, 0.1)
    dnn = tiny.build("dnn", tiny.wider(kind), preprocessing=preprocessing)
    x = tiny.examples(rng, kind, 8)
    dnn.compile("sgd", "mse", run_eagerly=EAGERLY)
    dnn.fit(x, rng.normal(size=(8, tiny.CLASSES)), verbose=0)
    logits = tiny.forward(dnn, x)
    dual = dk.disentangle(dnn)
    assert (dual.family, dual.gate_mode) == ("dgn", "hard")
    assert_close(tiny.forward(dual, x), logits)
    for network in ("value", "gating"):
        twin = dk.disentangle(dnn)
        for layer in twin.network_layers(network).values():
            if isinstance(layer, dk.layers.Gated):
                kernel = keras.ops.convert_to_numpy(layer.affine.kernel)
                layer.affine.kernel.assign(-0.9 * kernel)  # flips its units' signs
        with pytest.raises(AssertionError):
            assert_close(tiny.forward(twin, x), logits)


def test_the_twins_weights_are_copies_and_the_options_its_own(rng):
    dnn = tiny.build("dnn", "fc")
    x = tiny.examples(rng, "fc")
    logits = tiny.forward(dnn, x)
    twin = dk.disentangle(dnn, "dlgn", beta=7.0, value_input="ones")
    assert (twin.family, twin.gate_mode, twin.arguments["beta"]) == (
        "dlgn",
        "soft",
        7.0,
    )
    for network in ("value", "gating"):
        for name, p in twin.parameters(network).items():
            np.testing.assert_array_equal(
                p.kernel, dnn.parameters("value")[name].kernel
            )
    twin.set_weights([0 * w for w in twin.get_weights()])
    assert_close(tiny.forward(dnn, x), logits)
    fresh = dk.disentangle(dnn, copy_weights=False)
    kernels = [net.parameters("value")["dense_1"].kernel for net in (dnn, fresh)]
    assert not np.allclose(*kernels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny.build("dlgn", "fc"), "a dk.DNN.*DLGN 'dlgn', gated already"),
    ],
)
def test_what_has_no_dual_is_told(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        dk.disentangle(make())


def test_an_unknown_family_or_shapes_that_differ_are_told():
    dnn = tiny.build("dnn", "fc")
    with pytest.raises(ValueError, match=r"`family` must be one of dgn, dlgn.*'dln'"):
        dk.disentangle(dnn, "dln")
    other = dk.DGN(dk.skeletons.fc(3, 5), (4,), 2)
    with pytest.raises(ValueError, match=r"equal layers only.*'dense_1'.*\(4, 3\)"):
        dk.models.copy_network(dnn, other, "value")


COLLAPSIBLE = [
    ("fc", {}),
    ("fc_batch_norm", {"gate": "hard"}),
    ("fc", {"gate_order": (2, 0, 1), "value_input": "ones"}),
    ("fc", {"shallow": True, "value_bias": True}),
    ("dense_residual", {"gate": "straight_through", "beta": 3.0}),
]


@pytest.mark.parametrize(("kind", "options"), COLLAPSIBLE)
def test_collapsed_gates_are_affine_in_the_input_and_the_logits_equal(
    kind, options, rng
):
    numbers = dk.data.Preprocessing(0.5, 0.1)
    net = tiny.build("dlgn", kind, preprocessing=numbers, **options)
    x = tiny.examples(rng, kind, 5)
    flat = oracle.network_input(net, x).reshape(5, -1)
    q = net.pre_activations(x)
    maps = dk.models.affine_gates(net)
    assert list(maps) == [site.name for site in net.sites]
    for site, (matrix, offset) in maps.items():
        assert_close(flat @ matrix + offset, q[site])
    fast = dk.collapse(net)
    assert_close(fast.predict(x, verbose=0), tiny.forward(net, x))
    first = next(iter(maps))
    maps[first].matrix[0, 0] += 0.1
    with pytest.raises(AssertionError):
        assert_close(flat @ maps[first].matrix + maps[first].offset, q[first])


@pytest.mark.parametrize(
    ("family", "kind", "message"),
    [
        ("dgn", "fc", "`net` must be a DLGN.*DGN 'dgn'"),
        ("dnn", "fc", "`net` must be a DLGN.*DNN 'dnn'"),
        ("dlgn", "gconv", "'conv_1'.*dense stages only"),
        ("dlgn", "vgg16", "'conv_1'.*dense stages only"),
    ],
)
def test_what_does_not_collapse_is_told(family, kind, message):
    with pytest.raises(ValueError, match=message):
        dk.collapse(tiny.build(family, kind))
