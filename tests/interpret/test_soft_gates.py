"""Soft gates to explain a hard network: sums, slopes, limits, and what they are of."""

import json
import re

import foreign
import keras
import numpy as np
import oracle
import pytest
import tiny
from keras import layers
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import interpret

MODELS = [
    ("dnn", "gconv", {}),
    ("dgn", tiny.FIELDS["max_pool"], {"gate": "hard", "value_bias": True}),
    ("dlgn", "resnet", {"gate": "straight_through", "gate_scale": 1.1}),
]


def softened(net, x, beta):
    """NumPy: the gates, and the value network's logits at them."""
    scale, gates = net.arguments.get("gate_scale", 1.0), {}
    for site, q in oracle.pre_activations(net, x).items():
        if isinstance(q, dict):  # the windows of a pooling
            cells = np.stack([np.exp(beta * q[p]) for p in sorted(q)], axis=1)
            shape = tuple(n + 1 for n in max(q))
            cells = (cells / cells.sum(2, keepdims=True)).swapaxes(2, 3)
            gates[site] = cells.reshape(len(cells), *shape, *cells.shape[2:])
        else:
            gates[site] = oracle.gate(q, "soft", beta, scale)
    return gates, oracle.value_logits(net, x, gates)


@pytest.mark.parametrize(("family", "kind", "options"), MODELS)
def test_contributions_add_up_to_the_output_at_soft_gates(rng, family, kind, options):
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 3)
    gates, expected = softened(net, x, 2.0)
    for site, gate in net.gates(x, "soft", beta=2.0).items():
        assert_close(gate, gates[site])
    sites = [site for site, _ in net.sites]
    for at in ("input", sites[0], sites[-1]):
        found = net.explain(x, [1, 0, 1], at, mode="soft", beta=2.0)
        assert_close(found.logits, expected)
        sums = found.contributions.reshape(3, -1).sum(1) + found.bias + found.skipped
        assert_close(sums, expected[np.arange(3), [1, 0, 1]])
        assert_close(found.own_logits, tiny.forward(net, x))
        # The broken twin: the model's own output is another.
        assert distance(sums, found.own_logits[np.arange(3), [1, 0, 1]]) > 1e-3
    made = interpret.gate_contributions(net, x, [1, 0, 1], mode="soft", beta=2.0)
    assert_close(made[at], found.contributions)
    for ours in found.ladder().values():
        assert_close(ours.logits, expected)
    maps = net.explain(x, 1, mode="soft", beta=2.0)
    assert_close(sum(m.reshape(3, -1).sum(1) for m in maps.bias_maps().values()),
                 maps.bias)  # fmt: skip


def test_a_steep_soft_gate_is_the_hard_one_and_a_flat_one_is_not(rng):
    net = tiny.build("dnn", "gconv")
    x = tiny.examples(rng, "gconv", 3)
    hard = net.explain(x, 1)
    steep, flat = (net.explain(x, 1, mode="soft", beta=b) for b in (1e6, 1.0))
    for name in ("logits", "contributions", "bias"):
        assert_close(getattr(steep, name), getattr(hard, name))
    assert distance(flat.contributions, hard.contributions) > 1e-2
    own = net.explain(x, 1, mode="hard")
    assert (own.mode, own.beta, own.gates) == (None, None, "")
    soft = tiny.build("dlgn", "gconv", gate="soft", beta=3.0)
    assert soft.explain(x, mode="soft", beta=3.0).mode is None
    found, gates = soft.explain(x, 1, mode="hard"), soft.gates(x, "hard")
    assert found.gates == "hard gates"
    assert_close(found.logits, tiny.value_forward(soft, soft.value_inputs(x), gates))


def test_a_twin_of_a_keras_model_has_the_slopes_of_a_soft_backward_pass(rng):
    first, last = layers.Dense(6), layers.Dense(2)
    pool = layers.GlobalMaxPooling1D(data_format="channels_last")
    parts = [layers.ReLU(6.0), layers.Reshape((3, 2)), pool]
    model = keras.Sequential([keras.Input((4,)), first, *parts, last])
    tiny.shake(model)
    twin, x, beta = dk.disentangle(model), 3 * rng.normal(size=(5, 4)), 0.7
    (w, b), (v, c) = (layer.get_weights() for layer in (first, last))
    q = x @ w + b
    on, top = (1 / (1 + np.exp(-beta * (q - k))) for k in (0, 6))
    powers = np.exp(beta * np.clip(q, 0, 6).reshape(5, 3, 2))  # of the hard network
    select = powers / powers.sum(1, keepdims=True)
    rows = np.einsum("ij,nj,nj,jk->nik", w, on - top, select.reshape(5, 6),
                     np.tile(v, (3, 1)))  # fmt: skip
    value = ((q * (on - top) + 6 * top).reshape(5, 3, 2) * select).sum(1) @ v + c
    found = twin.explain(x.astype("float32"), 1, mode="soft", beta=beta)
    assert_close(found.logits, value)
    assert_close(found.contributions, x * rows[:, :, 1])
    assert distance(twin.explain(x, 1).contributions, x * rows[:, :, 1]) > 1e-2


def test_the_class_explained_is_the_one_that_the_model_predicts(rng):
    net = tiny.build("dnn", "fc")
    x = tiny.examples(rng, "fc", 60)
    found = net.explain(x, against="next", mode="soft", beta=0.05)
    np.testing.assert_array_equal(found.target, tiny.forward(net, x).argmax(1))
    np.testing.assert_array_equal(found.against, 1 - found.target)
    assert (found.logits.argmax(1) != found.target).any()


def test_what_has_no_such_gates_is_told_in_one_line(rng):
    inputs = keras.Input((4,))
    smooth = keras.Model(inputs, layers.Dense(2)(layers.Dense(3, "silu")(inputs)))
    smooth, net = dk.disentangle(smooth), tiny.build("dnn", "fc")
    x = tiny.examples(rng, "fc", 2)
    for bad, model, given in [
        ("`mode` needs gates that switch.*has none.*mode='soft'", smooth, ["soft"]),
        ("`mode` must be one of hard, soft.*'sofd'.*'soft'", net, ["sofd"]),
        ("`beta` is the slope of soft gates.*mode=None", net, [None, 4.0]),
        ("`beta` must be a finite number above 0", net, ["soft", -1.0]),
    ]:
        with pytest.raises(ValueError, match=bad):
            model.explain(x, mode=given[0], beta=(*given, None)[1])


def test_the_text_the_picture_and_the_page_say_what_the_sum_is_of(rng, tmp_path):
    kind = dk.skeletons.c4gap(4, depth=2), (8, 8, 3)
    net, twin = tiny.build("dlgn", kind, gate="hard"), tiny.build("dnn", kind)
    x = rng.uniform(size=(1, 8, 8, 3)).astype("float32")
    found = net.explain(x, mode="soft", beta=2.0)
    assert " at soft gates, beta 2 = contributions" in repr(found)
    assert "at soft gates, beta 2" in found.plot(ladder=False).axes[1].get_title()
    out = tmp_path / "page.html"
    page = interpret.report(net, x, out, twin, mode="soft", beta=2.0).read_text()
    told = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])["numbers"]
    for label in ("DLGN", "DNN"):
        assert told[f"0/{label}"]["gates"] == "soft gates, beta 2"
    assert told["0/DLGN"]["logit"] == pytest.approx(found.logit(0), abs=1e-5)
    first = page.partition('<p class="lead">')[2].partition("</p>")[0]
    own = found.own_logits[0].max()
    assert f"with a logit of {own:.2f}" in first
    assert f"at soft gates, beta 2, {found.logit(0):.2f}" in first
    top = interpret.top_paths(net, x[0], k=8, include_bias=False, mode="soft", beta=2.0)
    assert top.logit == pytest.approx(found.logit(0), rel=1e-4)
    assert told["0/paths"] == pytest.approx([p.contribution for p in top.paths])
    smooth = dk.disentangle(foreign.build("sequence"))
    assert smooth.explain(np.ones((1, 9, 2)), mode="soft").beta == smooth.beta == 4.0
