"""With JAX's jit off, a usual way to debug, everything runs and gives the same."""

import keras
import numpy as np
import pytest

import dlgn_keras as dk
from dlgn_keras import kernels
from dlgn_keras.training import Recipe, fit

pytestmark = pytest.mark.only("jax")  # jax.disable_jit() is its own
X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
READERS = {
    "predict": lambda net: net.predict(X, verbose=0),
    "gates": lambda net: net.gates(X)[net.sites[0].name],
    "explain": lambda net: dk.interpret.explain(net, X).contributions,
    "npk": lambda net: kernels.npk(net, X, progress=False),
    "ntk": lambda net: kernels.ntk(net, X, progress=False),
    "features": lambda net: kernels.path_features(net, X, 8, seed=0),
}


def trained(net):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("sgd", loss, run_eagerly=net.name == "eager")
    net.fit(X, np.arange(4) % 2, shuffle=False, verbose=0)
    return net.get_weights()


@pytest.mark.parametrize("family", ["dnn", "dgn", "dlgn"])
def test_every_reader_gives_the_same_without_jit(family):
    import jax

    make = dk.models.FAMILIES[family]
    net = make("fc:depth=1,width=4", (3,), 2, seed=0)
    fresh = make.from_config(net.get_config())  # has compiled nothing yet
    with_jit = {name: read(net) for name, read in READERS.items()}
    with jax.disable_jit():
        for name, read in READERS.items():
            found = read(fresh)
            np.testing.assert_allclose(found, with_jit[name], rtol=1e-4, atol=1e-5)
        off = trained(make("fc:depth=1,width=4", (3,), 2, seed=0))
    eager = trained(make("fc:depth=1,width=4", (3,), 2, seed=0, name="eager"))
    for a, b, c in zip(off, trained(net), eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)


def test_fit_trains_the_same_without_jit():
    import jax

    recipe = Recipe(skeleton="fc:depth=1,width=2", epochs=1, num_train=20, num_test=8)
    one = fit(recipe, progress=False).history[0]["loss"]
    with jax.disable_jit():
        other = fit(recipe, progress=False).history[0]["loss"]
    assert other == pytest.approx(one, rel=1e-4)
