"""Contributions at a site: all paths through each gate, and what starts behind."""

import pickle
import warnings

import foreign
import numpy as np
import oracle
import pytest
import tiny
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import interpret, paths
from dlgn_keras.interpret.contributions import LIMIT
from dlgn_keras.interpret.sites import crossed_sites, rungs
from dlgn_keras.skeletons import Residual, walk

MODELS = [
    ("dnn", "fc", {}),
    ("dlgn", "resnet", {}),
    ("dgn", tiny.FIELDS["max_pool"], {"gate": "hard", "value_bias": True}),
    ("dlgn", "dense_residual", {"value_bias": True}),
    ("dlgn", "gconv", {"value_input": "ones", "value_bias": True}),
    ("dlgn", "sequence", {"value_bias": True, "gate_order": (1, 0)}),
]


def logit(found):
    return np.array([found.logit(i) for i in range(len(found.target))])


def totals(found):
    sums = found.contributions.reshape(len(found.bias), -1).sum(1)
    return sums + found.bias + found.skipped


def truth(net, x, i, target, name):
    """Of all paths, one by one: through each gate of a site, and those that skip it."""
    sites = [s.name for s in walk(net.skeleton.stages) if getattr(s, "gated", False)]
    number, gates = sites.index(name), oracle.gates(net, x)[i]
    through, bias, skipped = np.zeros(gates[number].shape), 0.0, 0.0
    z = oracle.value_input(net, x)[i]
    for path, term in paths.terms(oracle.stages(net), z, gates, target):
        met = [index for site, index in path.gates if site == number]
        if met:
            through[met[0]] += term
        elif path.source is None:
            bias += term
        else:
            skipped += term
    return through, bias, skipped


@pytest.mark.parametrize(("family", "kind", "options"), MODELS)
def test_at_a_site_stands_the_sum_of_the_paths_through_each_gate(
    rng, family, kind, options
):
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 2)
    sites, crossed = [site for site, _ in net.sites], crossed_sites(net)
    skippable = [site for site in sites if site not in crossed]
    for site in dict.fromkeys([sites[0], sites[-1], *skippable[:1]]):
        found = interpret.explain(net, x, [1, 0], site)
        assert found.at == site
        for i, target in enumerate((1, 0)):
            through, bias, skipped = truth(net, x, i, target, site)
            assert_close(found.contributions[i], through)
            assert_close(found.bias[i], bias)
            assert_close(found.skipped[i], skipped)
            if site in crossed:
                assert skipped == found.skipped[i] == 0
        assert np.abs(found.residual).max() < 1e-5
        assert ("paths that skip it" in repr(found)) == (site not in crossed)
    assert bool(skippable) == any(isinstance(s, Residual) for s in net.skeleton.stages)
    # The broken twin: the paths to another class are others.
    through, bias, skipped = truth(net, x, 0, 0, site)
    ours = found.contributions[0].sum(), found.bias[0], found.skipped[0]
    assert distance(ours, (through.sum(), bias, skipped)) > 1e-3


@pytest.mark.parametrize("name", ["everything", "hub", "sequence"])
def test_twins_of_keras_models_add_up_at_every_site(rng, name):
    model = foreign.build(name)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)[:2]
    z, gates = twin.value_inputs(x), twin.gates(x)
    for site in [site for site, _ in twin.sites][::2]:
        found = interpret.explain(twin, x, 1, site)
        shut = {**gates, site: 0 * gates[site]}
        without = tiny.value_forward(twin, z, shut)[:, 1]
        at_zero = tiny.value_forward(twin, 0 * z, shut)[:, 1]
        assert_close(found.bias, at_zero)
        assert_close(found.skipped, without - at_zero)
        assert_close(totals(found), foreign.logits(model, x)[:, 1])
        # One gate by differences: exact in a network linear in it.
        unit = np.unravel_index(
            np.abs(found.contributions[0]).argmax(), gates[site].shape[1:]
        )
        closed = {**gates, site: gates[site].copy()}
        closed[site][(slice(None), *unit)] = 0
        part = logit(found) - tiny.value_forward(twin, z, closed)[:, 1]
        assert_close(found.contributions[(slice(None), *unit)], part)
        assert abs(part[0]) > 1e-3


def test_which_sites_all_paths_cross():
    """By the definition: with its gates shut, no input reaches the logits."""
    nets = [tiny.build("dgn", kind) for kind in ("resnet", "gconv", "dense_residual")]
    nets += [dk.disentangle(foreign.build(name)) for name in ("everything", "shared")]
    rng = np.random.default_rng(0)
    for net in nets:
        z = rng.normal(size=(1, *net.input_shape[1:])).astype("float32")
        gates = {s: rng.uniform(0.5, 1, (1, *shape)) for s, shape in net.sites}
        gates = {s: gate.astype("float32") for s, gate in gates.items()}
        crossed = []
        for site, _ in net.sites:
            shut = {**gates, site: 0 * gates[site]}
            a, b = (tiny.value_forward(net, v, shut) for v in (z, 5 * z))
            crossed += [site] * int(np.abs(a - b).max() <= 1e-5 * np.abs(b).max())
        assert crossed_sites(net) == tuple(crossed)
        assert set(rungs(net)) <= set(crossed)
    everything = crossed_sites(nets[3])
    assert "prelu" not in everything  # in a branch
    assert "conv_relu6_saturated" not in everything  # starts paths
    assert crossed_sites(nets[4]) == tuple(site for site, _ in nets[4].sites)


def test_against_a_second_class_the_difference_is_taken_apart(rng):
    net = tiny.build("dlgn", (dk.skeletons.c4gap(3), (5, 4, 2)), value_bias=True)
    big = dk.DLGN(dk.skeletons.c4gap(3), (5, 4, 2), 5, value_bias=True, seed=0)
    tiny.shake(big)
    x = rng.normal(size=(3, 5, 4, 2)).astype("float32")
    for at in ("input", "conv_2"):
        one, other = (interpret.explain(big, x, k, at) for k in (3, 1))
        found = interpret.explain(big, x, 3, at, against=1)
        assert_close(found.contributions, one.contributions - other.contributions)
        assert_close(found.bias, one.bias - other.bias)
        assert_close(logit(found), big.predict(x, verbose=0)[:, [3, 1]] @ [1, -1])
        assert_close(totals(found), logit(found))
        assert distance(found.contributions, one.contributions) > 1e-3
        assert "of class 3 less class 1 = " in repr(found)
        runner_up = interpret.explain(big, x, at=at, against="next")
        order = np.argsort(-runner_up.logits, axis=1)
        assert runner_up.target.tolist() == order[:, 0].tolist()
        assert runner_up.against.tolist() == order[:, 1].tolist()
        assert_close(totals(runner_up), logit(runner_up))
    mixed = interpret.explain(net, x, [0, 1, 0], against="next")
    assert mixed.against.tolist() == [1, 0, 1]


def test_auto_takes_the_finest_place_where_little_cancels(rng):
    net = tiny.build("dlgn", tiny.wider("gconv", 6), value_bias=True)
    x = tiny.examples(rng, "gconv", 3)
    shares = {
        at: np.median(interpret.explain(net, x, at=at).cancelling())
        for at in ("input", *rungs(net))
    }
    few = [at for at, share in shares.items() if share <= LIMIT]
    assert interpret.explain(net, x, at="auto").at == few[0]
    found = interpret.explain(net, x)
    size = np.abs(net.predict(x, verbose=0)).max(1)
    absolute = np.abs(found.contributions).reshape(3, -1).sum(1)
    assert_close(found.cancelling(), absolute / size)
    # Where something cancels everywhere, the place with the least.
    last = net.value_network.get_layer("logits")
    kernel, bias = last.get_weights()
    last.set_weights([kernel - kernel.mean(1, keepdims=True) * 0.999, 0 * bias])
    shares = {
        at: np.median(interpret.explain(net, x, at=at).cancelling())
        for at in ("input", *rungs(net))
    }
    few = [at for at, share in shares.items() if share <= LIMIT]
    least = min(shares, key=shares.get)
    assert interpret.explain(net, x, at="auto").at == (few or [least])[0]


def test_the_ladder_has_the_same_logit_on_every_rung(rng, tmp_path):
    net = tiny.build("dlgn", "resnet", value_bias=True)
    x = tiny.examples(rng, "resnet", 2)
    found = interpret.explain(net, x, against="next")
    ladder = found.ladder()
    assert tuple(ladder) == ("input", *rungs(net))
    for at, rung in ladder.items():
        alone = interpret.explain(net, x, at=at, against="next")
        assert_close(rung.contributions, alone.contributions)
        assert_close(rung.bias, alone.bias)
        assert_close(logit(rung), logit(found))
    assert tuple(found.ladder(3)) == ("input", "add_1", "add_3")
    assert tuple(found.ladder(1)) == ("input",)
    assert len(found.plot().axes) == 2 * (1 + 2 * len(ladder))
    assert len(found.plot(ladder=False).axes) == 2 * 3
    kept = pickle.loads(pickle.dumps(found))
    assert_close(kept.contributions, found.contributions)
    assert len(kept.plot(x).axes) == 2 * 3
    with pytest.raises(ValueError, match="left its model behind"):
        kept.ladder()
    net.set_weights([w * 1.5 + 0.1 for w in net.get_weights()])
    with pytest.raises(ValueError, match="model has changed"):
        found.ladder()


def test_a_map_and_several_inputs_are_cut_at_a_site(rng):
    model = foreign.segmentation()
    tiny.shake(model)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model, 2)
    site = crossed_sites(twin)[-1]
    found = interpret.explain(twin, x, (3, 4, 1), site, against=(0, 0, 1))
    logits = foreign.logits(model, x)
    assert_close(totals(found), logits[:, 3, 4, 1] - logits[:, 0, 0, 1])
    assert found.against.tolist() == [[0, 0, 1]] * 2
    assert "of entry (3, 4, 1) less entry (0, 0, 1) = " in repr(found)
    assert np.abs(found.contributions).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": "dense_4"}, "`at` must be one of input, auto, dense_1.*Did you mean"),
        ({"at": 3}, "`at` must be one of"),
        ({"against": 2}, "`against` must be a class from 0 to 1"),
        ({"target": 1, "against": 1}, "another class than the target"),
        ({"against": "last"}, "`against` must be None, a class"),
    ],
)
def test_a_bad_site_or_second_class_is_refused(rng, options, message):
    net = tiny.build("dnn", "fc")
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        interpret.explain(net, tiny.examples(rng, "fc"), **options)


def test_one_logit_has_no_second_one(rng):
    net = dk.DLGN("fc:depth=1,width=4", (3,), 1, seed=0)
    with pytest.raises(ValueError, match="two outputs or more"):
        interpret.explain(net, np.ones((1, 3)), against="next")
