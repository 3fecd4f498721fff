"""Attributions and their scores, against nets where the answer is known."""

import keras
import numpy as np
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras.data import Preprocessing
from dlgn_keras.interpret import attributions, faithfulness, grad_cam, grid_pointing


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
    assert found["true"].localisation == {}


@pytest.mark.parametrize("side", [2, 3])
def test_the_right_cell_gives_one_and_all_cells_their_share(rng, side):
    net = tiny.build("dnn", (dk.skeletons.c4gap(2, depth=2), (4, 6, 1)))
    y = np.repeat(np.arange(10), 3)
    x = rng.uniform(0.1, 0.9, size=(30, 4, 6, 1)) + y[:, None, None, None]
    images = {c: [3 * c + 2, 3 * c] for c in range(10)}
    indices = grid_pointing.grids(images, side, 2, seed=1)
    assert all(len(set(row)) == side**2 for row in y[indices])
    assert len(set(indices.ravel())) == indices.size  # no image comes twice
    assert set(indices[0] % 3) == {2}  # the first of each class comes first
    larger = grid_pointing.grid_model(net, side)
    assert larger.input_shape[1:] == (4 * side, 6 * side, 1)

    def perfect(net, images, target):
        return (images // 1 == target[:, None, None, None]).astype(float)

    def negative_elsewhere(net, images, target):
        return 2 * perfect(net, images, target) - 1

    def even(net, images, target):
        return np.ones_like(images)

    score = grid_pointing.grid_pointing
    assert (score(larger, x, y, indices, perfect) == 1).all()
    assert (score(larger, x, y, indices, negative_elsewhere) == 1).all()
    assert_close(score(larger, x, y, indices, even), np.full((2, side**2), side**-2))
    nothing = score(larger, x, y, indices, lambda n, x, t: -np.ones_like(x))
    assert (nothing == 0).all()
    moved = score(larger, x, y[::-1], indices, perfect)
    assert (moved < 1).any()  # classes of other images do not fit


def test_each_cell_of_a_mosaic_is_its_image(rng):
    x, indices = rng.normal(size=(12, 2, 3, 1)), np.arange(9)[None] + 2
    made = grid_pointing.mosaics(x, indices)
    for k in range(9):
        row, column = divmod(k, 3)
        cell = made[0, 2 * row :, 3 * column :][:2, :3]
        np.testing.assert_array_equal(cell, x[indices[0, k]])


def test_grids_end_where_the_confident_images_do(rng):
    few = {c: list(range(5 * c, 5 * c + 3)) for c in range(5)}
    assert 1 <= len(grid_pointing.grids(few, 2, 100)) <= 15 // 4
    net = tiny.build("dlgn", (dk.skeletons.c4gap(3, depth=2), (6, 6, 1)))
    x = rng.normal(size=(40, 6, 6, 1))
    logits = net.predict(x, verbose=0)
    y = np.where(np.arange(40) % 4, logits.argmax(1), 1 - logits.argmax(1))
    found = grid_pointing.confident(net, x, y)
    gaps = np.abs(logits[:, 0] - logits[:, 1])
    assert sorted(np.concatenate(list(found.values()))) == [
        k for k in range(40) if k % 4
    ]
    for images in found.values():
        assert (np.diff(gaps[images]) <= 1e-6).all()


def test_occlusion_of_all_classes_is_that_of_each(rng, small):
    x = rng.normal(size=(3, 8, 8, 1)).astype("float32")
    y = np.array([[0, 3], [1, 2], [2, 2]])
    found = attributions.occlusions(small, x, y, 4)
    for k in range(2):
        assert_close(found[:, k], attributions.occlusion(small, x, y[:, k], 4))


@pytest.mark.parametrize("family", ["dnn", "dlgn"])
def test_grad_cam_weighs_the_values_by_their_mean_gradients(rng, family):
    """With a hidden layer behind the maps, whose slopes are found by differences."""
    net = tiny.build(family, (dk.skeletons.gconv((2, 3), (4,)), (6, 6, 1)))
    x, y = rng.normal(size=(2, 6, 6, 1)).astype("float32"), np.array([1, 0])
    last = net.explain(x, y, at="conv_2").contributions
    # Pooling takes the mean, so a unit's slope is the same at every place, and values
    # times mean slopes are values times slopes: the contributions.
    assert_close(attributions.grad_cam(net, x, y)[..., 0], np.maximum(last.sum(-1), 0))
    assert (last.sum(-1) < 0).any()


def test_grad_cam_takes_the_mean_where_slopes_differ_by_place(rng):
    net = tiny.build("dlgn", (dk.skeletons.vconv((2,), (3,)), (4, 4, 1)))
    x = rng.normal(size=(1, 4, 4, 1)).astype("float32")
    site = net.sites[0][0]
    out = keras.Model(
        net.value_network.input, grad_cam._applied(net.value_network, site)[1]
    )
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, [x, net.gates(x)])
    values = keras.ops.convert_to_numpy(out(tensors))[0]
    slopes = net.explain(x, [1], at=site).contributions[0] / values
    assert np.ptp(slopes, axis=(0, 1)).min() > 1e-3
    cam = np.maximum((values * slopes.mean((0, 1))).sum(-1), 0)
    assert_close(grad_cam.grad_cam(net, x, [1])[0], cam)


def test_behind_a_linear_head_grad_cam_is_the_positive_part_of_ours(rng):
    net = tiny.build("dlgn", (dk.skeletons.c4gap(3, depth=2), (6, 6, 1)))
    x, y = rng.normal(size=(4, 6, 6, 1)), np.array([0, 1, 1, 0])
    ours = attributions.contributions(net, x, y, at="conv_2")
    assert_close(attributions.grad_cam(net, x, y), np.maximum(ours, 0))


def test_a_map_is_spread_over_its_places_and_keeps_its_sum(rng):
    maps = rng.normal(size=(2, 2, 3))
    found = attributions.spread(maps, (5, 6, 2))
    np.testing.assert_allclose(found.sum((1, 2, 3)), maps.sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(
        found[:, :3, :2].sum((1, 2, 3)), maps[:, 0, 0], rtol=1e-5
    )
    net = tiny.build("dlgn", (dk.skeletons.c4gap(2, depth=2), (6, 6, 1)))
    x, y = rng.normal(size=(3, 6, 6, 1)), np.array([0, 1, 1])
    methods = attributions.methods_for(net)
    assert [m for m in methods if " at " in m] == [
        "contributions at conv_1",
        "contributions at conv_2",
    ]
    found = net.explain(x, y, at="conv_1").contributions
    assert_close(
        methods["contributions at conv_1"](net, x, y), found.sum(-1)[..., None]
    )
    flat = attributions.methods_for(tiny.build("dlgn", "fc"))
    assert list(flat) == list(attributions.METHODS)


def test_a_network_of_hard_gates_is_measured_at_soft_ones_too(rng):
    net = tiny.build("dnn", "fc")
    x, y = rng.normal(size=(3, 4)), np.array([0, 1, 1])
    methods = attributions.methods_for(net)
    assert set(methods) - set(attributions.METHODS) == {"soft contributions"}
    soft = methods["soft contributions"](net, x, y)
    assert_close(soft, net.explain(x, y, mode="soft").contributions)
    assert np.abs(soft - methods["contributions"](net, x, y)).max() > 1e-3


def test_the_larger_model_is_the_same_network(rng):
    options = {"padding": "circular"}
    skeleton = dk.skeletons.c4gap(3, depth=2, **options)
    net = tiny.build("dlgn", (skeleton, (4, 4, 2)))
    x = rng.normal(size=(2, 4, 4, 2)).astype("float32")
    tiled = np.tile(x, (1, 2, 2, 1))  # with wrapping the same at every place
    larger = grid_pointing.grid_model(net)
    assert_close(larger.predict(tiled, verbose=0), net.predict(x, verbose=0))


def test_every_method_is_scored_on_one_model(rng):
    net = tiny.build("dlgn", (dk.skeletons.c4gap(2, depth=2), (6, 6, 1)))
    x, y = rng.normal(size=(8, 6, 6, 1)), np.arange(8) % 4
    y = np.minimum(y, 1)
    found = faithfulness.score_methods(net, x, y, steps=3, num_grids={})
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
        (lambda: grid_pointing.grids({0: [1], 1: [], 2: [5]}, 2, 3), "4 classes"),
        (
            lambda: attributions.grad_cam(
                tiny.build("dnn", "fc"), np.ones((3, 4)), [0]
            ),
            "form a map",
        ),
        (
            lambda: grid_pointing.grid_model(tiny.build("dnn", "vconv")),
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
