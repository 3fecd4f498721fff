"""Tiny models are alive: on a dead one every claim about contributions passes."""

import itertools

import numpy as np
import oracle
import pytest
import tiny
from keras import ops

from dlgn_keras import skeletons

PAIRS = [*itertools.product(tiny.FAMILIES, tiny.KINDS), ("dnn", tiny.MAX_POOL)]


def names_of_gates(net):
    """The sites that let through or not; a max pool selects, and always does."""
    stages = skeletons.walk(net.skeleton.stages)
    pools = {s.name for s in stages if isinstance(s, skeletons.MaxPool)}
    return [name for name in net.skeleton.site_names if name not in pools]


def logits_at(net, z, gates):
    """Of the value network in NumPy, at gates that do not follow `z`."""
    parameters = net.parameters("value")
    return oracle.run(net.skeleton, parameters, z, lambda name, q: q * gates[name])


def contributions(net, x, gates):
    """Of every entry to every logit, by moving one entry at a time: (n, entries, 2)."""
    z = oracle.value_input(net, x)
    start, columns = logits_at(net, z, gates), []
    for entry in np.ndindex(z.shape[1:]):
        without = z.copy()
        without[(slice(None), *entry)] = 0
        columns.append(start - logits_at(net, without, gates))
    return np.stack(columns, axis=1)


def signs_of_death(net, x):
    """What is wrong with a model and its examples, line by line."""
    found = oracle.pre_activations(net, x)
    gates = {site: (found[site] > 0).astype(float) for site in names_of_gates(net)}
    for site, gate in gates.items():
        if not 0.03 <= gate.mean() <= 0.97:
            yield f"{site} is on for {gate.mean():.0%}"
    found = contributions(net, x, gates)
    sizes = np.abs(found).max((1, 2))
    unit = max(sizes.max(), 1e-6)  # some nets have small logits throughout
    alive = sizes > 1e-2 * unit
    if alive.mean() < 0.3:
        yield f"{alive.mean():.0%} of the examples have contributions"
    for one in found[alive]:
        if len(np.unique((one / unit).round(4))) < 3:
            yield "contributions are alike"
    logits = logits_at(net, oracle.value_input(net, x), gates)
    if len(np.unique((logits / unit).round(6), axis=0)) < alive.sum():
        yield "logits are alike"


@pytest.mark.parametrize(("family", "kind"), PAIRS)
def test_a_tiny_model_is_alive(family, kind, rng):
    net = tiny.build(family, kind)
    assert not list(signs_of_death(net, tiny.examples(rng, kind, 40)))


def test_a_dead_model_is_seen(rng):
    net = tiny.build("dnn", "resnet")
    layer = net.network_layers("value")["conv_1"]  # on every path
    x = tiny.examples(rng, "resnet", 40)
    assert not list(signs_of_death(net, x))
    before = ops.convert_to_numpy(layer.batch_norm.beta)
    layer.batch_norm.beta.assign(before - 100)
    assert len(list(signs_of_death(net, x))) >= 2
