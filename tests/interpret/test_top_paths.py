"""The top paths are those that enumeration finds, and together they are the logit."""

import math
import sys

import numpy as np
import oracle
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras import interpret, paths
from dlgn_keras.interpret.path_tables import best_prefixes

MODELS = [
    ("dnn", "fc", {}),
    ("dgn", "fc_batch_norm", {"gate": "hard"}),
    ("dlgn", "dense_residual", {"value_bias": True}),
    ("dlgn", "vconv", {"value_bias": True, "value_input": "ones"}),
    ("dgn", "gconv_valid", {}),
    ("dlgn", "gconv", {}),
    ("dlgn", "resnet", {}),
    ("dlgn", "vgg16", {}),
    ("dnn", "sequence", {}),
    ("dlgn", "ungated", {"gate": "hard"}),
    ("dnn", tiny.MAX_POOL, {}),
    ("dgn", tiny.FIELDS["dilation"], {}),
    ("dnn", tiny.FIELDS["groups"], {}),
    ("dgn", tiny.FIELDS["max_pool"], {}),
    ("dlgn", tiny.FIELDS["max_pool_of_equals"], {"max_pool": "average"}),
]


def enumerated(net, x, target):
    """Every path's contribution, one by one, and {key: sum of its members}."""
    network = oracle.stages(net)
    (gates,), (z,) = oracle.gates(net, x), oracle.value_input(net, x)
    v = paths.npv(network, z.shape, target)
    members = []
    for path in paths.enumerate_paths(network, z.shape, target):
        start = 1.0 if path.source is None else z[path.source]
        open_ = math.prod(gates[site][index] for site, index in path.gates)
        members.append(start * path.factor * open_ * v[path.key])
    phi = paths.npf(network, z, gates, target)
    return np.array(members), np.array([phi[key] * v[key] for key in phi])


@pytest.mark.parametrize(("family", "kind", "options"), MODELS)
def test_the_top_paths_are_the_largest_of_all_enumerated(rng, family, kind, options):
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 1)
    members, bundles = enumerated(net, x, 1)
    for by, values in {
        "magnitude": members[np.argsort(-np.abs(members))],
        "positive": -np.sort(-members[members > 0]),
        "negative": np.sort(members[members < 0]),
    }.items():
        found = interpret.top_paths(net, x, 1, k=7, by=by)
        actual = [path.contribution for path in found.paths]
        expected = values[: len(actual)]
        assert len(actual) == min(7, np.count_nonzero(values))
        np.testing.assert_allclose(np.abs(actual), np.abs(expected), rtol=1e-5)
    for path in found.paths:
        nearest = np.abs(bundles - path.bundle).min()
        assert nearest <= 1e-5 * max(1, abs(path.bundle))


@pytest.mark.parametrize(
    ("family", "kind"), [("dnn", "fc"), ("dgn", "dense_residual"), ("dlgn", "sequence")]
)
def test_all_paths_together_are_the_logit(rng, family, kind):
    net = tiny.build(family, kind)
    x = tiny.examples(rng, kind, 1)
    found = interpret.top_paths(net, x[0], k=20_000)
    assert len({path.units for path in found.paths}) == len(found.paths) < 20_000
    logits = net.predict(x, verbose=0)[0]
    assert found.target == logits.argmax()
    assert_close(sum(path.contribution for path in found.paths), logits.max())
    assert found.share == pytest.approx(1, rel=1e-4)
    assert found.magnitude_share == pytest.approx(1, rel=1e-4)


def test_the_contributions_from_an_entry_are_the_paths_that_start_there(rng):
    net = tiny.build("dlgn", "sequence", value_bias=True)
    x = tiny.examples(rng, "sequence", 1)
    explained = interpret.explain(net, x, target=0)
    sums = np.zeros(explained.contributions[0].shape)
    bias = 0.0
    for path in interpret.top_paths(net, x, 0, k=20_000).paths:
        stage, index = path.units[0]
        if stage == "inputs":
            sums[index] += path.contribution
        else:
            bias += path.contribution
    assert_close(sums, explained.contributions[0])
    assert_close(bias, explained.bias[0])


def test_without_bias_the_paths_from_the_input_are_left_in_their_order(rng):
    net = tiny.build("dlgn", "fc_batch_norm", value_bias=True)
    x = tiny.examples(rng, "fc_batch_norm", 1)
    every = interpret.top_paths(net, x, 0, k=10_000).paths
    expected = [p for p in every if p.units[0][0] == "inputs"]
    found = interpret.top_paths(net, x, 0, k=10_000, include_bias=False).paths
    assert 0 < len(found) == len(expected) < len(every)
    for a, b in zip(found, expected, strict=True):
        assert a.contribution == pytest.approx(b.contribution, rel=1e-9)


def test_a_bundle_of_a_dense_net_is_its_one_path(rng):
    net = tiny.build("dlgn", "fc")
    for path in interpret.top_paths(net, tiny.examples(rng, "fc", 1), k=5).paths:
        assert path.bundle == path.contribution


def test_a_table_that_is_no_bound_loses_the_order(rng, monkeypatch):
    """The broken twin: a table too small at one unit loses the paths through it."""
    net = tiny.build("dgn", "gconv")
    x = tiny.examples(rng, "gconv", 1)
    members, _ = enumerated(net, x, 1)
    largest = np.sort(np.abs(members))[::-1][:7]

    def gap():
        top = interpret.top_paths(net, x, 1, k=7).paths
        return np.abs([p.contribution for p in top] / largest.max()) - (
            largest / largest.max()
        )

    assert np.abs(gap()).max() < 1e-5
    honest = best_prefixes
    unit = dict(interpret.top_paths(net, x, 1, k=1).paths[0].units)["conv_1"]

    def wrong(example):
        tables = honest(example)
        tables[1][(slice(None), *unit)] = 0
        return tables

    module = sys.modules[interpret.top_paths.__module__]
    monkeypatch.setattr(module, "best_prefixes", wrong)
    assert np.abs(gap()).max() > 1e-3


def test_a_large_net_is_searched_without_walking_its_paths(rng):
    net = dk.DLGN(dk.skeletons.fc(5, 128), (28, 28, 1), 10, seed=0)
    found = interpret.top_paths(net, rng.uniform(size=(28, 28, 1)), k=20)
    values = [abs(path.contribution) for path in found.paths]
    assert values == sorted(values, reverse=True)
    assert 0 < found.magnitude_share < 1e-6  # 20 of 784 * 128^5 paths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "`k` must be a whole number"),
        ({"by": "magnitud"}, "Did you mean 'magnitude'"),
        ({"target": 5}, "class from 0 to 1"),
    ],
)
def test_a_bad_argument_is_refused(rng, arguments, message):
    net = tiny.build("dnn", "fc")
    with pytest.raises(ValueError, match=message):
        interpret.top_paths(net, tiny.examples(rng, "fc", 1), **arguments)


def test_two_examples_are_refused(rng):
    with pytest.raises(ValueError, match="one example"):
        interpret.top_paths(tiny.build("dnn", "fc"), tiny.examples(rng, "fc", 2))
