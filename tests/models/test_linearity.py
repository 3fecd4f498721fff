"""The two linearities: pre-activations of a DLGN in x, logits in the value input."""

import keras
import numpy as np
import oracle
import pytest
import tiny
from tolerances import assert_close, distance

import dlgn_keras as dk

KINDS = ("fc", "gconv", "vgg16", "resnet", "sequence", "dense_residual")


def affinity(f, a, b):
    """How far f is from affine: f(a) + f(b) against f(a + b) + f(0)."""
    fa, fb, fab, f0 = (f(v) for v in (a, b, a + b, 0 * a))
    return max(distance(fa[k] + fb[k], fab[k] + f0[k]) for k in fa)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_only_a_dlgn_has_pre_activations_affine_in_the_input(family, kind, rng):
    net = tiny.build(family, tiny.wider(kind))
    a, b = (3 * tiny.examples(rng, kind, 8) for _ in range(2))
    gap = affinity(net.pre_activations, a, b)
    if family == "dlgn":
        assert gap < 1e-5
    else:
        assert gap > 1e-2  # the broken twin: a ReLU in the gating network is seen


@pytest.mark.parametrize("kind", KINDS)
def test_the_value_network_is_affine_at_fixed_gates_and_only_there(kind, rng):
    net = tiny.build("dnn", tiny.wider(kind), use_bias=True)
    a, b = (tiny.examples(rng, kind, 8) for _ in range(2))
    gates = net.gates(a)
    fixed = affinity(lambda z: {"y": tiny.value_forward(net, z, gates)}, a, b)
    free = affinity(lambda z: {"y": tiny.forward(net, z)}, a, b)
    assert fixed < 1e-5 < 1e-2 < free


def test_soft_gates_approach_hard_ones_as_beta_grows(rng):
    """Away from the boundary: once beta |q| is large at the unit closest to it."""
    hard = tiny.build("dlgn", "gconv", gate="hard")
    x = tiny.examples(rng, "gconv")
    closest = min(abs(q).min() for q in hard.pre_activations(x).values())
    expected = tiny.forward(hard, x)
    gaps = []
    for beta in (1.0, *(float(k / closest) for k in (2, 5, 10, 20))):
        soft = tiny.build("dlgn", "gconv", gate="soft", beta=beta)
        soft.set_weights(hard.get_weights())
        gaps.append(distance(tiny.forward(soft, x), expected))
    assert gaps[-1] < 1e-5
    assert gaps[0] > 1e-3
    assert gaps[1] > gaps[2] > gaps[3] > gaps[4]


@pytest.mark.parametrize("family", ["dgn", "dlgn"])
def test_a_gate_scale_multiplies_every_gate(family, rng):
    x = tiny.examples(rng, "fc")
    plain = tiny.build(family, "fc", seed=3)
    scaled = tiny.build(family, "fc", seed=3, gate_scale=1.1)
    for site, gate in scaled.gates(x).items():
        assert_close(gate, 1.1 * plain.gates(x)[site])
    assert_close(
        tiny.forward(scaled, x), oracle.value_logits(scaled, x, scaled.gates(x))
    )


# --- gate order and shallow gating, against a forward pass written out by hand -----


def by_hand(net, x, order):
    """Three sites as the papers write them: gates of site k applied at order[k]."""
    v, w = net.parameters("value"), net.parameters("gating")
    names = ("dense_1", "dense_2", "dense_3")
    q, h = [], x.astype(float)
    for name in names:
        h = h @ w[name].kernel + w[name].bias
        q.append(h)
        h = np.maximum(h, 0) if net.family == "dgn" else h
    used = [None] * 3
    for k, target in enumerate(order):
        used[target] = 1 / (1 + np.exp(-4.0 * q[k]))
    z = x.astype(float)
    for name, gate in zip(names, used, strict=True):
        z = (z @ v[name].kernel + v[name].bias) * gate
    return z @ v["logits"].kernel + v["logits"].bias, dict(
        zip(names, used, strict=True)
    )


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (1, 0, 2), (0, 1, 2)])
@pytest.mark.parametrize("family", ["dgn", "dlgn"])
def test_gates_made_at_site_k_are_applied_at_the_kth_of_the_order(family, order, rng):
    net = tiny.build(family, "fc", gate_order=order)
    x = tiny.examples(rng, "fc")
    logits, used = by_hand(net, x, order)
    assert_close(net.predict(x, verbose=0), logits)
    for site, gate in net.gates(x).items():
        assert_close(gate, used[site])
    again = type(net).from_config(net.get_config())
    again.set_weights(net.get_weights())
    assert_close(tiny.forward(again, x), logits)
    if order in ((1, 2, 0), (2, 0, 1)):  # the inverse permutation is another net
        inverse = tuple(np.argsort(order))
        with pytest.raises(AssertionError):
            assert_close(tiny.forward(net, x), by_hand(net, x, inverse)[0])


SHALLOW = ("fc", "vconv", "gconv", "gconv_valid", "c4gap", "vgg16", "dense_residual")


@pytest.mark.parametrize("kind", SHALLOW)
def test_a_shallow_site_is_one_affine_map_of_the_input_of_its_own(kind, rng):
    net = tiny.build("dlgn", kind, shallow=True)
    a, b = tiny.examples(rng, kind), tiny.examples(rng, kind)
    assert affinity(net.pre_activations, a, b) < 1e-5
    before = net.pre_activations(a)
    assert {k: q.shape[1:] for k, q in before.items()} == dict(net.sites)
    changed = net.sites[0].name
    layer = net.network_layers("gating")[changed]
    layer.affine.kernel.assign(2 * keras.ops.convert_to_numpy(layer.affine.kernel))
    after = net.pre_activations(a)
    same = {k for k in before if np.array_equal(before[k], after[k])}
    assert same == set(before) - {changed}


def test_a_shallow_fc_net_is_written_out_in_one_line(rng):
    net = tiny.build("dlgn", "fc", shallow=True, value_input="ones")
    x = tiny.examples(rng, "fc")
    for site, p in net.parameters("gating").items():
        assert p.kernel.shape == (4, 3)
        assert_close(net.pre_activations(x)[site], x @ p.kernel + p.bias)
    assert_close(tiny.forward(net, x), oracle.value_logits(net, x, net.gates(x)))


@pytest.mark.parametrize("kind", ["gconv", "vgg16"])
def test_a_shallow_convolution_sees_what_the_chain_sees(kind, rng):
    """Its window is the site's receptive field: no pixel outside it counts."""
    skeleton, shape = tiny.KINDS[kind]
    big = (12, 12, shape[-1])
    deep, shallow = (
        tiny.build("dlgn", (skeleton, big), shallow=s, batch_norm=False)
        for s in (False, True)
    )
    site = [s for s in deep.sites if len(s.shape) == 3][-1]
    middle = tuple(n // 2 for n in site.shape[:2])
    x = rng.normal(size=(1, *big)).astype("float32")

    def seen(net):
        """Pixels that move the middle unit of the site."""
        pixels = np.ndindex(*big[:2])
        many = np.repeat(x, big[0] * big[1], axis=0)
        for k, (i, j) in enumerate(pixels):
            many[k, i, j] += 1
        q = net.pre_activations(np.concatenate([x, many]))[site.name]
        return (abs(q[1:, *middle] - q[0, *middle]).max(-1) > 1e-6).reshape(big[:2])

    assert 9 <= seen(deep).sum() < 12 * 12
    np.testing.assert_array_equal(seen(shallow), seen(deep))


def test_an_all_ones_value_input_leaves_the_input_to_the_gates(rng):
    net = dk.DLGN(dk.skeletons.fc(2, 4), (3,), 2, value_input="ones", gate="hard")
    x = tiny.examples(rng, "fc")[:, :3]
    assert (net.value_inputs(x) == 1).all()
    assert_close(tiny.forward(net, 5 * x), tiny.forward(net, 5 * x + 0))
    gating = net.parameters("gating")
    for name in gating:  # without a bias, scaling x changes no gate: no logit either
        layer = net.network_layers("gating")[name]
        layer.affine.bias.assign(np.zeros(4))
    assert_close(tiny.forward(net, 5 * x), tiny.forward(net, x))
