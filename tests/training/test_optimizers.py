"""Optimizers, schedules and losses: the values, worked out by hand."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras.training import Recipe
from dlgn_keras.training.ingredients import (
    SmoothedCrossentropy,
    make_loss,
    make_optimizer,
    make_schedule,
)


def rate_at(schedule, step):
    return float(ops.convert_to_numpy(schedule(step)))


@pytest.mark.once
def test_one_cycle_rises_in_a_line_and_falls_along_a_cosine():
    recipe = Recipe(schedule="one_cycle", learning_rate=0.5, warmup=0.2)
    schedule = make_schedule(recipe, 100)
    falling = 0.25 * (1 + math.cos(math.pi * 19 / 80))
    for step, rate in {0: 0.02, 5: 0.14, 10: 0.26, 20: 0.5, 39: falling}.items():
        assert rate_at(schedule, step) == pytest.approx(rate, rel=1e-5), step
    assert rate_at(schedule, 60) == pytest.approx(0.25, rel=1e-5)
    assert rate_at(schedule, 100) == pytest.approx(0, abs=1e-7)
    # The last step taken still learns: 100 steps are 0 to 99.
    assert rate_at(schedule, 99) == pytest.approx(
        0.25 * (1 + math.cos(math.pi * 79 / 80)), rel=1e-3
    )


@pytest.mark.once
def test_cosine_falls_from_the_first_step_to_zero():
    schedule = make_schedule(Recipe(schedule="cosine", learning_rate=0.5), 100)
    for step, rate in {0: 0.5, 50: 0.25, 100: 0.0}.items():
        assert rate_at(schedule, step) == pytest.approx(rate, abs=1e-6)


@pytest.mark.once
def test_piecewise_has_published_numbers_of_steps_at_each_rate():
    recipe = Recipe(schedule="piecewise", boundaries=(400, 900), rates=(0.01, 0.1, 0.5))
    schedule = make_schedule(recipe, 1000)
    rates = [rate_at(schedule, step) for step in (0, 399, 400, 899, 900, 10_000)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.1, 0.1, 0.5, 0.5], rtol=1e-6)


def test_the_optimizer_walks_along_its_schedule():
    recipe = Recipe(schedule="piecewise", boundaries=(2,), rates=(1.0, 0.25))
    recipe = recipe.replace(optimizer="sgd", momentum=0.0)
    weight = keras.Variable(np.zeros(1), dtype="float32")
    optimizer = make_optimizer(recipe, 4)
    places = []
    for _ in range(4):
        optimizer.apply([ops.ones(1)], [weight])
        places.append(float(ops.convert_to_numpy(weight.value)[0]))
    np.testing.assert_allclose(places, [-1, -2, -2.25, -2.5], rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
def test_weight_decay_shrinks_kernels_and_leaves_biases_and_norms(optimizer):
    recipe = Recipe(optimizer=optimizer, weight_decay=0.5, learning_rate=0.1)
    net = dk.DLGN(dk.skeletons.fc(2, 4, batch_norm=True), (3,), 2, value_bias=True)
    wide = dk.DNN(dk.skeletons.fc(1, 4), (3,), 2)
    variables = net.trainable_variables + wide.trainable_variables
    for variable in variables:
        variable.assign(np.full(variable.shape, 2.0))
    step = make_optimizer(recipe, 10)
    step.apply([ops.zeros(v.shape) for v in variables], variables)
    kinds = {v.name for v in variables}
    assert kinds == {"kernel", "bias", "gamma", "beta"}
    for variable in variables:
        left = 2 * (1 - 0.1 * 0.5) if variable.name == "kernel" else 2.0
        assert_close(ops.convert_to_numpy(variable), np.full(variable.shape, left))


def test_muon_makes_the_updates_of_dense_kernels_orthogonal(rng):
    net = dk.DLGN(dk.skeletons.fc(2, 4), (6,), 3, seed=0)
    variables = net.trainable_variables
    before = [ops.convert_to_numpy(v) for v in variables]
    gradients = [rng.normal(size=v.shape).astype("float32") for v in variables]
    step = make_optimizer(Recipe(optimizer="muon", learning_rate=0.1), 10)
    step.apply([ops.convert_to_tensor(g) for g in gradients], variables)
    orthogonal = []
    for variable, old, gradient in zip(variables, before, gradients, strict=True):
        update = (old - ops.convert_to_numpy(variable)) / 0.1
        if len(variable.shape) == 2 and "logits" not in variable.path:
            orthogonal.append(variable.path)
            lengths = np.linalg.svd(update, compute_uv=False)
            # Five steps of Newton and Schulz bring singular values near 1.
            lengths /= 0.2 * np.sqrt(max(update.shape))
            assert 0.6 < lengths.min() <= lengths.max() < 1.3
            left, singular, right = np.linalg.svd(gradient, full_matrices=False)
            assert (update * (left @ right)).sum() > 0
            assert singular.max() / singular.min() > 1.3  # broken twin: the gradient
        else:
            # Adam's first step
            np.testing.assert_allclose(update, np.sign(gradient), atol=0.01)
    assert len(orthogonal) == 4


@pytest.mark.once
def test_an_l2_penalty_under_momentum_decays_like_a_tenfold_decoupled_one():
    rate, momentum, penalty = 0.1, 0.9, 1e-3
    weight, velocity, weights = 1.0, 0.0, []
    for _ in range(300):  # SGD on the gradient `penalty * weight` alone
        velocity = momentum * velocity - rate * penalty * weight
        weight += velocity
        weights.append(weight)
    published = -math.log(weights[-1] / weights[-2])

    def decoupled(decay):
        recipe = Recipe(
            optimizer="sgd", learning_rate=rate, momentum=momentum, weight_decay=decay
        )
        kernel = keras.Variable(np.ones(1), dtype="float32", name="kernel")
        optimizer = make_optimizer(recipe, 20)
        for _ in range(20):
            optimizer.apply([ops.zeros(1)], [kernel])
        return -math.log(float(ops.convert_to_numpy(kernel.value)[0])) / 20

    assert decoupled(penalty / (1 - momentum)) == pytest.approx(published, rel=0.02)
    assert decoupled(penalty) == pytest.approx(published / 10, rel=0.05)


def test_gradients_are_clipped_by_their_global_norm():
    recipe = Recipe(optimizer="sgd", learning_rate=1.0, momentum=0.0, clip_norm=1.0)
    weights = [keras.Variable(np.zeros(1), dtype="float32") for _ in range(2)]
    make_optimizer(recipe, 1).apply([ops.ones(1) * 3, ops.ones(1) * 4], weights)
    moved = [float(ops.convert_to_numpy(w.value)[0]) for w in weights]
    np.testing.assert_allclose(moved, [-0.6, -0.8], rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_keras_own_on_one_hot_labels(smoothing, rng):
    logits = rng.normal(size=(6, 4)).astype("float32")
    labels = rng.integers(0, 4, 6).astype("int32")
    ours = make_loss(Recipe(label_smoothing=smoothing), 4)(labels, logits)
    keras_own = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing
    )
    theirs = keras_own(np.eye(4, dtype="float32")[labels], logits)
    assert_close(float(ours), float(theirs))
    other = make_loss(Recipe(label_smoothing=0.3), 4)(labels, logits)
    assert abs(float(other) - float(theirs)) > 1e-3


@pytest.mark.once
def test_smoothing_is_cross_entropy_against_a_mixture_with_the_uniform(rng):
    logits = rng.normal(size=(5, 3)).astype("float32")
    labels = np.array([0, 2, 1, 1, 0], "int32")
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = 0.9 * np.eye(3)[labels] + 0.1 / 3
    loss = SmoothedCrossentropy(3, 0.1)(labels, logits)
    assert_close(float(loss), -(target * logs).sum(1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_examples_of_weight_zero_do_not_count(smoothing, rng):
    loss = make_loss(Recipe(label_smoothing=smoothing), 4)
    logits = rng.normal(size=(6, 4)).astype("float32")
    labels = rng.integers(0, 4, 6).astype("int32")
    weights = np.array([1, 1, 1, 1, 0, 0], "float32")
    part = loss(labels[:4], logits[:4])
    assert_close(float(loss(labels, logits, sample_weight=weights)), float(part))


@pytest.mark.once
def test_the_smoothed_loss_survives_its_config():
    loss = SmoothedCrossentropy(4, 0.2)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (again.num_classes, again.label_smoothing) == (4, 0.2)
