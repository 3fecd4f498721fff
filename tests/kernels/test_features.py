"""Random path features: their mean is the kernel, exactly over all signs."""

import itertools

import numpy as np
import pytest
import tiny
from keras import ops
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras import kernels
from dlgn_keras.kernels.features import Draw, RandomNetwork, draw_kernel
from dlgn_keras.kernels.plan import make_plan
from dlgn_keras.kernels.tiles import read_examples
from dlgn_keras.skeletons import Conv, Dense, GlobalPool, Residual, Skeleton

SMALL = {
    "conv": (
        Skeleton((Conv(1, 3, padding="circular"), Conv(2, 2), GlobalPool())),
        (4, 1),
    ),
    "residual": (
        Skeleton((Dense(2, True), Residual((Dense(1), Dense(2, gated=False))))),
        (1,),
    ),
}


def every_sign(random, heads=1):
    """Every draw of signs: all kernels, biases, heads and their offsets."""
    plain = random.draw(np.random.default_rng(0), heads)
    parts = [a for layer in plain.layers.values() for a in layer if a is not None]
    parts += [plain.heads, plain.offsets]
    sizes = [np.count_nonzero(part) for part in parts]
    for signs in itertools.product([-1.0, 1.0], repeat=sum(sizes)):
        rest = iter(signs)

        def signed(part, rest=rest):
            if part is None or not np.any(part):
                return part
            drawn = np.array([next(rest) for _ in range(part.size)])
            return np.abs(part) * drawn.reshape(part.shape)

        layers = {n: (signed(k), signed(b)) for n, (k, b) in plain.layers.items()}
        yield Draw(layers, signed(plain.heads), signed(plain.offsets))


def features_over_signs(net, x, normalize):
    plan = make_plan(net, normalize, bias_paths=True)
    random = RandomNetwork(net, plan, "signs")
    made = read_examples(net, x)
    inputs, gates = ops.convert_to_tensor(made.inputs), random.scaled(made.gates)
    draws = every_sign(random)
    return np.array([random.features(d, inputs, gates)[:, 0] for d in draws])


@pytest.mark.parametrize("kind", SMALL)
def test_mean_over_all_signs_is_the_kernel(kind, rng):
    net = tiny.build("dlgn", SMALL[kind])
    x = tiny.examples(rng, SMALL[kind], 3)
    features = features_over_signs(net, x, normalize=True)
    mean = features.T @ features / len(features)
    assert_close(mean, kernels.npk(net, x, normalize=True))
    without = kernels.npk(net, x, normalize=True, bias_paths=False)
    assert kind == "conv" or distance(mean, without) > 1e-3


@pytest.mark.once
def test_draws_stay_within_six_standard_errors_known_from_all_signs(rng):
    net = tiny.build("dlgn", SMALL["conv"], seed=1)
    x = tiny.examples(rng, SMALL["conv"], 3)
    all_signs = features_over_signs(net, x, normalize=False)
    products = all_signs[:, :, None] * all_signs[:, None, :]
    draws = 300
    bound = 6 * products.std(0) / draws**0.5 + 1e-5 * np.abs(products).max()
    options = {"heads": 1, "weights": "signs", "seed": int(rng.integers(2**31))}
    found = kernels.npk_estimate(net, x, num_features=draws, **options)
    exact = kernels.npk(net, x)
    assert found.num_draws == draws
    assert (np.abs(found.gram - exact) <= bound).all()
    assert not (np.abs(2 * found.gram - exact) <= bound).all()
    # the error reported is the one that the enumeration knows, within its own scatter
    big = products.std(0) > 0.1 * products.std(0).max()
    ratio = found.standard_error[big] / (products.std(0)[big] / draws**0.5)
    assert (0.5 < ratio).all()
    assert (ratio < 2).all()


@pytest.mark.once
@pytest.mark.parametrize("weights", ["orthogonal", "gaussian", "signs"])
@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 3), (3, 1, 2, 7)])
def test_weights_have_zero_mean_unit_variance_and_no_correlation(weights, shape, rng):
    draws = 4000
    drawn = [draw_kernel(rng, shape, weights).ravel() for _ in range(draws)]
    drawn = np.array(drawn)
    # entries have fourth moments of 3 at most: products scatter by at most sqrt(3)
    bound = 6 * 3**0.5 / draws**0.5
    assert np.abs(drawn.mean(0)).max() < bound
    assert np.abs(drawn.T @ drawn / draws - np.eye(drawn.shape[1])).max() < bound


@pytest.mark.once
def test_orthogonal_heads_as_many_as_units_are_the_mean_over_last_layers(rng):
    heads = draw_kernel(rng, (5, 5), "orthogonal")
    np.testing.assert_allclose(heads @ heads.T, 5 * np.eye(5), atol=1e-12)


def test_seed_makes_the_same_features_of_any_examples():
    net = tiny.build("dgn", "gconv")
    x = tiny.examples(np.random.default_rng(0), "gconv", 5)
    whole = kernels.path_features(net, x, 7, seed=3, heads=2)
    part = kernels.path_features(net, x[2:4], 7, seed=3, heads=2, batch_size=1)
    assert_close(part, whole[2:4])
    assert distance(kernels.path_features(net, x, 7, seed=4, heads=2), whole) > 1e-3


@pytest.mark.once
def test_features_leave_the_model_as_it_is():
    net = tiny.build("dnn", "fc_batch_norm")
    x = tiny.examples(np.random.default_rng(0), "fc_batch_norm", 2)
    before = [w.copy() for w in net.get_weights()]
    kernels.path_features(net, x, 6)
    assert all(map(np.array_equal, before, net.get_weights()))


@pytest.mark.once
def test_features_of_a_deep_residual_net_stay_in_range():
    """Finite, and no trace a thousand times the mean: Markov allows it 1 in 1000."""
    block = Residual((Dense(64), Dense(64, gated=False)))
    net = dk.DNN(Skeleton((Dense(64), *(block,) * 15)), (4,), num_classes=2, seed=0)
    x = tiny.examples(np.random.default_rng(0), (None, (4,)), 2)
    exact = kernels.npk(net, x)
    assert exact.max() > 1e40  # features beyond float32's range, squared or not
    found = kernels.path_features(net, x, 64)
    assert np.isfinite(found).all()
    assert 1e-6 < np.sum(found**2) / 64 / np.trace(exact) < 1e3


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_features": 0}, "`num_features` must be a whole number"),
        ({"heads": 99}, "`heads` must be at most the width of the last .* 3"),
        ({"weights": "normal"}, "`weights` must be one of orthogonal"),
    ],
)
def test_bad_options_are_named(options, message):
    net = tiny.build("dnn", "fc")
    with pytest.raises(ValueError, match=message):
        kernels.path_features(net, np.zeros((1, 4)), **options)
    with pytest.raises(ValueError, match="two draws at least"):
        kernels.npk_estimate(net, np.zeros((1, 4)), num_features=3)
