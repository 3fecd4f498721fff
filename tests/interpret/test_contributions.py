"""Contributions add up to the logit, and each is the sum of its paths."""

import warnings

import foreign
import numpy as np
import oracle
import pytest
import tiny
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tolerances import assert_close, distance
from transposed_oracle import Folded, Forward, ValueWalk, array

import dlgn_keras as dk
from dlgn_keras import interpret, paths
from dlgn_keras.data import Preprocessing
from dlgn_keras.interpret import attributions
from dlgn_keras.interpret.attributions import input_gradients
from dlgn_keras.skeletons import AveragePool, Conv, Dense, Flatten, GlobalPool, Residual

MODELS = [
    ("dnn", "fc", {}),
    ("dnn", "resnet", {}),
    ("dnn", tiny.MAX_POOL, {}),
    ("dgn", "gconv_valid", {"gate": "hard"}),
    ("dgn", "dense_residual", {"value_bias": True}),
    ("dlgn", "vgg16", {"value_bias": True}),
    ("dlgn", "resnet", {"value_input": "ones"}),
    ("dlgn", "c4gap", {"gate": "straight_through", "gate_order": (2, 1, 0)}),
    ("dlgn", "sequence", {"gate_scale": 1.1}),
    ("dlgn", "gconv", {"shallow": True}),
]
FIELDS = [
    ("dgn", tiny.FIELDS["dilation"], {}),
    ("dlgn", tiny.FIELDS["groups"], {}),
    ("dgn", tiny.FIELDS["max_pool"], {"gate": "hard"}),
    ("dlgn", tiny.FIELDS["max_pool"], {"max_pool": "average"}),
]


def totals(explanation):
    contributions = explanation.contributions
    return contributions.reshape(len(contributions), -1).sum(1) + explanation.bias


def chosen(logits, target):
    return np.asarray(logits)[np.arange(len(target)), target]


@pytest.mark.parametrize(("family", "kind", "options"), MODELS + FIELDS)
def test_contributions_are_the_sums_of_the_paths_from_each_entry(
    rng, family, kind, options
):
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 2)
    found = interpret.explain(net, x, target=[1, 0])
    network, z = oracle.stages(net), oracle.value_input(net, x)
    for i, gates in enumerate(oracle.gates(net, x)):
        truth = paths.contributions(network, z[i], gates, int(found.target[i]))
        assert_close(found.contributions[i], truth.inputs)
        assert_close(found.bias[i], truth.bias)


def skeletons_at_random():
    convs = st.builds(
        Conv,
        st.integers(1, 4),
        st.integers(1, 4),
        st.integers(1, 2),
        st.sampled_from(["same", "circular"]),
        st.booleans(),
        st.booleans(),
    )
    inner = st.builds(Conv, st.just(3), st.integers(1, 3), batch_norm=st.booleans())
    project = st.builds(Conv, st.just(3), st.just(1), gated=st.just(False))
    blocks = st.builds(
        Residual,
        st.lists(inner, min_size=1, max_size=2).map(tuple),
        project.map(lambda stage: (stage,)),
        st.booleans(),
    )
    images = st.lists(st.one_of(convs, blocks), min_size=1, max_size=3)
    pools = st.lists(st.just(AveragePool(2)), max_size=1)
    ends = st.sampled_from([(Flatten(),), (GlobalPool(),)])
    dense = st.builds(Dense, st.integers(1, 5), st.booleans()).map(lambda d: (d,))
    parts = st.tuples(pools.map(tuple), images.map(tuple), ends, dense)
    made = parts.map(lambda p: dk.skeletons.Skeleton(p[0] + p[1] + p[2] + p[3]))
    return made.filter(fits)


def fits(skeleton):
    """Whether no circular window is larger than its image."""
    try:
        return bool(dk.skeletons.output_shapes(skeleton, (9, 8, 2)))
    except ValueError:
        return False


RANDOM = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],  # shrinking builds hundreds of models
    "suppress_health_check": list(HealthCheck),
}
NETS = st.tuples(
    skeletons_at_random(),
    st.sampled_from(["dnn", "dgn", "dlgn"]),
    st.sampled_from(["hard", "soft", "straight_through"]),
    st.sampled_from(["input", "ones"]),
    st.integers(0, 2**31),
)


def check_completeness(skeleton, family, gate, value_input, seed):
    options = {"gate": gate, "value_input": value_input} if family != "dnn" else {}
    net = tiny.build(family, (skeleton, (9, 8, 2)), seed=seed, **options)
    x = np.random.default_rng(seed).normal(size=(3, 9, 8, 2)).astype("float32")
    found = interpret.explain(net, x)
    expected = chosen(net.predict(x, verbose=0), found.target)
    assert distance(totals(found), expected) < 1e-4


@pytest.mark.once
@settings(max_examples=5, **RANDOM)
@given(NETS)
def test_completeness_holds_on_random_skeletons(net):
    check_completeness(*net)


@pytest.mark.slow
@settings(max_examples=100, **RANDOM)
@given(NETS)
def test_completeness_holds_on_a_hundred_random_skeletons(net):
    check_completeness(*net)


def test_an_explanation_follows_the_weights_as_they_change(rng):
    net = tiny.build("dgn", "gconv", value_bias=True)
    x = tiny.examples(rng, "gconv")
    before = interpret.explain(net, x, target=1)
    net.set_weights([w * 1.3 + 0.01 for w in net.get_weights()])
    logits = net.predict(x, verbose=0)[:, 1]
    assert distance(totals(before), logits) > 1e-3
    assert_close(totals(interpret.explain(net, x, target=1)), logits)


@pytest.mark.once
@pytest.mark.parametrize(("family", "kind", "options"), MODELS)
def test_contributions_are_those_of_the_transposed_pass_and_of_no_other(
    rng, family, kind, options
):
    kind = tiny.wider(kind) if kind == "resnet" else kind
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 3)
    target = np.array([1, 0, 1])
    found = interpret.explain(net, x, target)
    at_gates = interpret.gate_contributions(net, x, target)
    walk = ValueWalk(net, x)
    expected, bias = walk.contributions(target)
    assert_close(found.contributions, expected)
    assert_close(found.bias, bias)
    assert_close(found.logits, walk.logits)
    gates = walk.gate_contributions(target)
    assert list(at_gates) == [site for site, _ in net.sites]
    assert list(gates) == [site for site in at_gates if "max_pool" not in site]
    for site, values in gates.items():
        assert_close(at_gates[site], values)
    # Alive: a comparison of zeros would prove nothing.
    assert np.abs(expected).max() > 1e-3
    assert all(np.abs(values).max() > 1e-4 for values in gates.values())
    # The broken twin: one stage's kernel doubled in the transposed pass alone.
    last = walk.nodes[-1].name
    kernel, constant = walk.parameters[last]
    walk.parameters[last] = Folded(2 * kernel, constant)
    assert distance(found.contributions, walk.contributions(target)[0]) > 1e-3


@pytest.mark.once
@pytest.mark.parametrize(
    ("family", "kind", "options"),
    [
        ("dnn", "fc", {}),
        ("dnn", tiny.MAX_POOL, {}),
        ("dgn", "gconv_valid", {"value_bias": True}),
        ("dlgn", "vgg16", {"value_bias": True}),
    ],
)
def test_the_bias_is_the_logit_of_zero_at_the_same_gates(rng, family, kind, options):
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 3)
    found = interpret.explain(net, x, 1)
    walk = ValueWalk(net, x)
    masks = {name: array(mask) for name, mask in walk.values.masks().items()}
    at_zero = Forward(
        walk.nodes, walk.parameters, walk.gates, 0 * walk.inputs, masks=masks
    )
    bias = array(at_zero.output(len(walk.nodes) - 1))[:, 1]
    assert np.abs(bias).max() > 1e-2
    assert_close(found.bias, bias)
    if not masks:  # through Keras too
        assert_close(tiny.value_forward(net, 0 * walk.inputs, walk.gates)[:, 1], bias)


@pytest.mark.once
@pytest.mark.parametrize("kind", ["fc", "resnet", tiny.MAX_POOL], ids=str)
def test_a_dnn_without_bias_has_input_times_gradient(rng, kind):
    skeleton, shape = tiny.wider(kind) if isinstance(kind, str) else kind
    net = dk.DNN(skeleton.with_batch_norm(False), shape, 4, use_bias=False)
    x = rng.normal(size=(5, *shape)).astype("float32")
    found = interpret.explain(net, x)
    gradient = input_gradients(net, x, found.target)
    assert_close(found.contributions, x * gradient)
    assert np.abs(gradient).max() > 1e-3
    assert np.abs(found.bias).max() < 1e-6 * np.abs(found.logits).max()


@pytest.mark.once
def test_contributions_of_a_biased_soft_dlgn_are_not_input_times_gradient(rng):
    net = tiny.build("dlgn", "fc")
    x = tiny.examples(rng, "fc")
    found = interpret.explain(net, x)
    gradient = input_gradients(net, x, found.target)
    assert distance(found.contributions, x * gradient) > 1e-3


def test_gradients_are_finite_differences(rng):
    net = tiny.build("dlgn", (dk.skeletons.fc(2, 5), (4,)))
    x = rng.normal(size=(3, 4)).astype("float32")
    found = input_gradients(net, x, np.array([0, 1, 1]))
    for k in range(4):
        step = np.zeros(4, "float32")
        step[k] = 1e-2
        rise = net.predict(x + step, verbose=0) - net.predict(x - step, verbose=0)
        expected = rise[np.arange(3), [0, 1, 1]] / 2e-2
        np.testing.assert_allclose(found[:, k], expected, atol=2e-2)


@pytest.mark.once
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_contributions_are_of_the_preprocessed_input(rng, family):
    make = dk.models.FAMILIES[family]
    preprocessing = Preprocessing(scale=(0.5, 2.0), offset=(0.3, -0.1))
    net = make(dk.skeletons.c4gap(3), (5, 4, 2), 3, preprocessing=preprocessing)
    x = rng.normal(size=(4, 5, 4, 2)).astype("float32")
    x[:, 2, 1] = [-0.6, 0.05]  # where the network sees zero
    found = interpret.explain(net, x)
    assert_close(totals(found), chosen(net.predict(x, verbose=0), found.target))
    assert np.abs(found.contributions[:, 2, 1]).max() < 1e-6
    assert np.abs(found.contributions).max() > 1e-3


@pytest.mark.parametrize(
    ("family", "kind", "value_input"),
    [
        ("dnn", "fc", None),
        ("dgn", "c4gap", "ones"),
        ("dlgn", "resnet", "input"),
        ("dlgn", "vgg16", "ones"),
    ],
)
def test_a_gates_contribution_is_what_closing_it_takes_away(
    rng, family, kind, value_input
):
    options = {} if value_input is None else {"value_input": value_input}
    net = tiny.build(family, kind, **options)
    x = tiny.examples(rng, kind, 2)
    found = interpret.gate_contributions(net, x, target=1)
    gates = {site: values.copy() for site, values in net.gates(x).items()}
    before = oracle.value_logits(net, x, gates)[:, 1]
    for site, values in gates.items():
        for unit in list(np.ndindex(*values.shape[1:]))[:4]:
            kept = values[(slice(None), *unit)].copy()
            values[(slice(None), *unit)] = 0
            after = oracle.value_logits(net, x, gates)[:, 1]
            values[(slice(None), *unit)] = kept
            assert_close(found[site][(slice(None), *unit)], before - after)


@pytest.mark.once
def test_gate_contributions_of_a_chain_without_bias_add_up_at_every_site(rng):
    net = dk.DLGN(dk.skeletons.c4gap(3), (4, 4, 2), 3, value_input="ones")
    x = rng.normal(size=(3, 4, 4, 2))
    logits = net.predict(x, verbose=0)[:, 2]
    for values in interpret.gate_contributions(net, x, target=2).values():
        assert_close(values.reshape(3, -1).sum(1), logits)


@pytest.mark.once
def test_batches_change_nothing_and_the_value_input_is_named(rng):
    net = tiny.build("dlgn", "fc", value_input="ones")
    x = tiny.examples(rng, "fc", 5)
    whole, cut = interpret.explain(net, x), interpret.explain(net, x, batch_size=2)
    for a, b in zip(whole[:4], cut[:4], strict=True):
        assert_close(a, b)
    assert whole.value_input == "ones"
    assert whole.target.tolist() == net.predict(x, verbose=0).argmax(1).tolist()


def cancelling(kind):
    if kind == "keras":
        return dk.disentangle(foreign.cancelling())
    options = {"gate": "hard"} if kind == "dlgn" else {}
    skeleton = dk.skeletons.fc(1, 2).with_batch_norm(False)
    net = dk.models.FAMILIES[kind](skeleton, (2,), 2, **options)
    foreign.cancel(net)
    return net


@pytest.mark.parametrize("kind", ["dnn", "dlgn", "keras"])
def test_what_rounding_leaves_over_is_measured_and_told(kind):
    net = cancelling(kind)
    small, even, lost, wrong = [1, 6], [0, 6], [1e4, 3], [1e4, 6]

    def told(*rows):
        with warnings.catch_warnings(record=True) as lines:
            warnings.simplefilter("always")
            found = interpret.explain(net, np.array(rows, "float32"), 0)
        said = [str(line.message) for line in lines]
        return found, [line for line in said if "miss the logit" in line]

    found, lines = told(small)  # a single example is always measured
    assert found.residual.tolist() == [0.0]
    assert not lines
    found, lines = told(small, even)
    assert np.isnan(found.residual).sum() == 1
    assert not lines
    # 1e8 + 6 is 1e8 + 8 in float32: the logit is 8, the contribution 6.
    found, lines = told(wrong)
    assert found.logits[0, 0] == 8
    assert found.contributions[0].tolist() == [0, 6]
    assert found.residual.tolist() == [2.0]
    assert found.missed().tolist() == [0.25]
    assert "+ residual 2" in repr(found)
    assert "miss the logit in 1 of 1 examples, by up to 25%" in lines[0]
    # Where one is off, all are measured. 1e8 + 3 is 1e8.
    found, lines = told(small, wrong, lost)
    assert found.residual.tolist() == [0.0, 2.0, -3.0]
    assert "in 2 of 3 examples" in lines[0]


@pytest.mark.once
def test_an_entry_of_a_map_is_taken_apart(rng):
    model = foreign.segmentation()
    tiny.shake(model)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model, 3)
    entries = [(3, 4, 1), (0, 5, 2), (5, 0, 3)]
    found = interpret.explain(twin, x, np.array(entries))
    assert_close(found.logits, foreign.logits(model, x))
    z, gates = twin.value_inputs(x), twin.gates(x)
    at_zero = tiny.value_forward(twin, 0 * z, gates)
    explained = np.array([found.logits[(i, *e)] for i, e in enumerate(entries)])
    assert_close([at_zero[(i, *e)] for i, e in enumerate(entries)], found.bias)
    assert_close(found.contributions.sum((1, 2, 3)) + found.bias, explained)
    near = (slice(None), 3, 4, 0)
    moved = z.copy()
    moved[near] = 0
    without = tiny.value_forward(twin, moved, gates)
    part = explained - [without[(i, *e)] for i, e in enumerate(entries)]
    assert_close(found.contributions[near], part)
    assert abs(part[0]) > 1e-3
    for i, entry in enumerate(entries):  # no example changes another
        alone = interpret.explain(twin, x[i : i + 1], entry)
        assert_close(alone.contributions[0], found.contributions[i])
        assert alone.target.tolist() == [list(entry)]
        assert f"of entry {entry} = " in repr(alone)
    other = interpret.explain(twin, x, (3, 4, 2))
    assert distance(other.contributions, found.contributions) > 1e-3
    largest = interpret.explain(twin, x)
    assert [largest.logit(i) for i in range(3)] == list(largest.logits.max((1, 2, 3)))
    sites = interpret.gate_contributions(twin, x, entries)
    assert all(values.any() for values in sites.values())
    interpret.plots.plot_contributions(x, found, ["a", "b", "c", "d"])


@pytest.mark.once
@pytest.mark.parametrize("target", [2, (1, 2), (6, 0, 0), (0, -1, 0), (0.5, 1, 1)])
def test_a_target_that_is_no_entry_of_a_map_is_refused(target):
    twin = dk.disentangle(foreign.segmentation(), copy_weights=False)
    with pytest.raises(ValueError, match=r"an entry of the outputs of shape \(6, 6, 4"):
        interpret.explain(twin, np.ones((2, 6, 6, 2)), target)


@pytest.mark.once
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (2, "class from 0 to 1"),
        (-1, "class from 0 to 1"),
        ([0, 1], "one class per example"),
        (0.5, "one class per example"),
    ],
)
def test_a_bad_target_is_refused(rng, target, message):
    net = tiny.build("dnn", "fc")
    with pytest.raises(ValueError, match=message):
        interpret.explain(net, tiny.examples(rng, "fc"), target)


def test_another_kind_of_model_is_refused():
    with pytest.raises(TypeError, match="`net` must be a"):
        interpret.explain(object(), np.ones((1, 4)))


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("everything", {}),
        ("shared", {"family": "dlgn"}),
        ("sequence", {"gate": "soft"}),
        ("hub", {"family": "dlgn", "value_input": "ones"}),
    ],
)
def test_twins_of_keras_models_are_explained_and_a_flipped_one_otherwise(
    rng, name, options
):
    model = foreign.build(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of average in place of max pooling
        twin = dk.disentangle(model, **options)
    x = foreign.examples(rng, model)[:2]
    found = interpret.explain(twin, x, 1)
    z, gates = twin.value_inputs(x), twin.gates(x)
    assert_close(found.logits, tiny.value_forward(twin, z, gates))
    at_zero = tiny.value_forward(twin, 0 * z, gates)[:, 1]
    assert_close(found.bias, at_zero)
    # A row of A by differences: exact, whatever the step, in an affine network.
    for entry in list(np.ndindex(*z.shape[1:]))[:3]:
        moved = z.copy()
        moved[(slice(None), *entry)] = 0
        part = found.logits[:, 1] - tiny.value_forward(twin, moved, gates)[:, 1]
        assert_close(found.contributions[(slice(None), *entry)], part)
    assert np.abs(found.contributions).max() > 1e-3
    at_gates = interpret.gate_contributions(twin, x, 1)
    assert {site: c.shape[1:] for site, c in at_gates.items()} == dict(twin.sites)
    for site, values in gates.items():
        unit = np.unravel_index(np.abs(at_gates[site][0]).argmax(), values.shape[1:])
        closed = {**gates, site: values.copy()}
        closed[site][(slice(None), *unit)] = 0
        part = found.logits[:, 1] - tiny.value_forward(twin, z, closed)[:, 1]
        assert_close(at_gates[site][(slice(None), *unit)], part)
    assert max(np.abs(c).max() for c in at_gates.values()) > 1e-3
    foreign.flip(twin.value_network)  # and the compiled function follows
    assert distance(interpret.explain(twin, x, 1).logits, found.logits) > 1e-4


@pytest.mark.once
def test_attributions_and_local_filters_take_twins_of_keras_models(rng):
    model = foreign.build("everything")
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)[:2]
    zero = attributions.baseline(twin)
    assert np.abs(twin.preprocessed(zero[None])).max() < 1e-6
    assert np.abs(zero).max() > 1e-2
    target = np.array([0, 1])
    for method in attributions.METHODS.values():
        assert method(twin, x, target).shape == x.shape
    for site in ("prelu", "leaky"):
        units = interpret.local_filters(twin, x[0], site, (1, 2))
        q = twin.pre_activations(x[:1])[site][0, 1, 2]
        z = twin.preprocessed(x[:1])[0]
        assert_close((units.rows * z).sum((1, 2, 3)) + units.offset, q)
        assert np.abs(units.rows).max() > 1e-3
