"""Attributions and their scores, against nets where the answer is known."""

import numpy as np
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras.data import Preprocessing
from dlgn_keras.interpret import attributions, faithfulness


@pytest.fixture
def small():
    """A DNN whose raw zero is not the network's."""
    preprocessing = Preprocessing(scale=0.5, offset=-0.25)
    skeleton = dk.skeletons.c4gap(3, depth=2)
    return dk.DNN(skeleton, (8, 8, 1), 4, preprocessing=preprocessing)


@pytest.fixture
def linear(small):
    """The same with every unit far from its boundary: one affine map of its input."""
    net = small
    for name, bias in (("conv_1", 30.0), ("conv_2", 300.0)):
        net.network_layers("value")[name].affine.bias.assign(np.full(3, bias))
    return net


def test_on_a_linear_net_all_signed_methods_agree(rng, linear):
    x = rng.normal(size=(3, 8, 8, 1)).astype("float32")
    y = np.array([0, 3, 1])
    ours = attributions.contributions(linear, x, y)
    assert_close(attributions.input_x_gradient(linear, x, y), ours)
    assert_close(attributions.integrated_gradients(linear, x, y, 3), ours)
    one = attributions.occlusion(linear, x, y, size=1)
    # A loss is a difference of two float32 logits, each of this resolution.
    blur = 8 * np.finfo("float32").eps * np.abs(linear.predict(x, verbose=0)).max()
    np.testing.assert_allclose(one, ours, atol=blur)
    squares = attributions.occlusion(linear, x, y, size=4)
    blocks = ours.reshape(3, 2, 4, 2, 4).sum((2, 4))
    sums = squares.reshape(3, 2, 4, 2, 4).sum((2, 4))
    np.testing.assert_allclose(sums, blocks, atol=blur)


def test_integrated_gradients_add_up_to_the_change_of_the_logit(rng):
    net = tiny.build("dlgn", (dk.skeletons.c4gap(3, depth=2), (5, 5, 2)))
    x = rng.normal(size=(2, 5, 5, 2)).astype("float32")
    zero = np.broadcast_to(attributions.baseline(net), x.shape)
    change = net.predict(x, verbose=0)[:, 1] - net.predict(zero, verbose=0)[:, 1]
    found = attributions.integrated_gradients(net, x, np.ones(2, int), 100)
    np.testing.assert_allclose(found.sum((1, 2, 3)), change, atol=2e-3)


def test_curves_begin_and_end_at_the_image_and_the_baseline(rng, small):
    x = rng.normal(size=(3, 8, 8, 1)).astype("float32")
    y = np.zeros(3, int)
    maps = rng.normal(size=x.shape)
    gone = faithfulness.deletion_curves(small, x, y, maps, 4)
    come = faithfulness.deletion_curves(small, x, y, maps, 4, "insertion")
    assert gone.shape == (3, 5)
    logits = np.exp(small.predict(x, verbose=0).astype(float))
    assert_close(gone[:, 0], (logits / logits.sum(1, keepdims=True))[:, 0])
    assert_close(gone[:, 0], come[:, -1])
    assert_close(gone[:, -1], come[:, 0])


def test_images_out_of_the_raw_range_are_told(rng):
    pixels = Preprocessing(1 / 255, raw_range=(0, 255))
    net = dk.DNN(dk.skeletons.c4gap(3, depth=2), (8, 8, 1), 4, preprocessing=pixels)
    x = rng.uniform(size=(2, 8, 8, 1))
    with pytest.warns(UserWarning, match="raw"):
        faithfulness.deletion_curves(net, x, [0, 1], x, steps=2)


def test_half_way_the_best_half_of_the_pixels_is_gone(rng, small):
    x = rng.normal(size=(1, 8, 8, 1)).astype("float32")
    maps = np.arange(64.0).reshape(1, 8, 8, 1)
    half = x.copy()
    half[:, 4:] = 0.5  # preprocessed to zero
    found = faithfulness.deletion_curves(small, x, [2], maps, 2)[0, 1]
    logits = np.exp(small.predict(half, verbose=0).astype(float))[0]
    assert found == pytest.approx(logits[2] / logits.sum(), rel=1e-5)


def test_the_true_order_beats_a_random_and_a_reversed_one(rng):
    """On a linear net of two classes the exact order is the best there is."""
    net = dk.DNN(dk.skeletons.fc(1, 6), (30,), 2)
    net.network_layers("value")["dense_1"].affine.bias.assign(np.full(6, 50.0))
    middle = net.predict(np.zeros((1, 30)), verbose=0)[0]
    net.network_layers("value")["logits"].affine.bias.assign(-middle)
    x = rng.normal(size=(20, 30)).astype("float32")
    y = np.zeros(20, int)
    own = attributions.contributions
    methods = {
        "true": lambda n, x, t: own(n, x, t) - own(n, x, 1 - t),
        "random": lambda n, x, t: rng.normal(size=x.shape),
        "reversed": lambda n, x, t: own(n, x, 1 - t) - own(n, x, t),
    }
    found = faithfulness.score_methods(net, x, y, methods, steps=10)
    true, random, worst = (found[name].deletion_scores for name in methods)
    assert (true <= random + 1e-6).all()
    assert (random <= worst + 1e-6).all()
    assert found["true"].deletion.high < found["reversed"].deletion.low
    assert found["true"].insertion.low > found["reversed"].insertion.high
    assert found["true"].localisation is None


def test_localisation_is_one_for_the_right_cell_and_a_quarter_for_none(rng):
    net = tiny.build("dnn", (dk.skeletons.c4gap(2, depth=2), (4, 6, 1)))
    y = np.repeat(np.arange(5), 3)
    x = np.zeros((15, 4, 6, 1)) + y[:, None, None, None] + 1
    indices = faithfulness.grids(y, 6, seed=1)
    assert all(len(set(row)) == 4 for row in y[indices])
    larger = faithfulness.grid_model(net)
    assert larger.input_shape[1:] == (8, 12, 1)

    def perfect(net, images, target):
        return (images == target[:, None, None, None] + 1).astype(float)

    def even(net, images, target):
        return np.ones_like(images)

    score = faithfulness.grid_localisation
    assert (score(larger, x, y, indices, perfect) == 1).all()
    assert (score(larger, x, y, indices, even) == 0.25).all()


def test_the_larger_model_is_the_same_network(rng):
    options = {"padding": "circular"}
    skeleton = dk.skeletons.c4gap(3, depth=2, **options)
    net = tiny.build("dlgn", (skeleton, (4, 4, 2)))
    x = rng.normal(size=(2, 4, 4, 2)).astype("float32")
    tiled = np.tile(x, (1, 2, 2, 1))  # with wrapping the same at every place
    larger = faithfulness.grid_model(net)
    assert_close(larger.predict(tiled, verbose=0), net.predict(x, verbose=0))


def test_every_method_is_scored_on_one_model(rng):
    net = tiny.build("dlgn", (dk.skeletons.c4gap(2, depth=2), (6, 6, 1)))
    x, y = rng.normal(size=(8, 6, 6, 1)), np.arange(8) % 4
    y = np.minimum(y, 1)
    found = faithfulness.score_methods(net, x, y, steps=3, num_grids=0)
    assert list(found) == list(attributions.METHODS)
    assert all(
        row.deletion.low <= row.deletion.mean <= row.deletion.high
        for row in found.values()
    )


def test_intervals_cover_the_mean_as_often_as_they_say(rng):
    draws = rng.exponential(size=(2000, 100))
    covered = [
        low <= 1 <= high for _, low, high, _ in map(faithfulness.interval, draws)
    ]
    assert 0.91 < np.mean(covered) < 0.97


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: faithfulness.interval([1.0]), "at least two"),
        (lambda: faithfulness.grids([0, 1, 2], 3), "four classes"),
        (
            lambda: faithfulness.grid_model(tiny.build("dnn", "vconv")),
            "pool over all positions",
        ),
        (
            lambda: faithfulness.score_methods(
                tiny.build("dnn", "fc"), np.ones((3, 4)), [0, 1, 1], ["gradiant"]
            ),
            "Did you mean 'gradient'",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
