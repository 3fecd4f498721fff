"""What keeps a net its twin and trains it better: mixing, teachers, averages, rates."""

import keras
import numpy as np
import pytest
from keras import ops

import dlgn_keras as dk
from dlgn_keras import data
from dlgn_keras.training import Recipe, fit, load_trained
from dlgn_keras.training.batches import Share
from dlgn_keras.training.fitting import Run
from dlgn_keras.training.ingredients import make_augmentation, make_optimizer
from dlgn_keras.training.step import ChunkTrainer
from dlgn_keras.training.targets import make_mixing, mixed_labels, teacher_loss

SHAPE = (8, 8, 1)
SMALL = Recipe(
    skeleton="c4gap:width=4,depth=2", batch_norm=True, augmentation="shift_flip",
    optimizer="sgd", learning_rate=0.05, num_train=60, num_test=40, batch_size=16,
    epochs=2, seed=3,
)  # fmt: skip
ALL = SMALL.replace(
    alternating_flip=True, erase=0.5, mixup=0.3, ema=0.8, bias_rate=4.0, epochs=3
)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits").take(60, 40)


def array(x):
    return np.asarray(ops.convert_to_numpy(x))


def test_mixup_adds_and_cutmix_pastes(rng):
    x = rng.uniform(1, 9, (12, *SHAPE)).astype("float32")
    layer = make_mixing(Recipe(mixup=0.5, seed=1), SHAPE)
    images, order, share = map(array, layer(ops.convert_to_tensor(x), training=True))
    part = share[:, None, None, None]
    np.testing.assert_allclose(images, part * x + (1 - part) * x[order], rtol=1e-5)
    assert len(np.unique(share)) > 6
    assert sorted(order) == list(range(12))

    layer = make_mixing(Recipe(cutmix=1.0, seed=1), SHAPE)
    images, order, share = map(array, layer(ops.convert_to_tensor(x), training=True))
    own = images == x
    assert np.all(own | (images == x[order]))
    assert 0.1 < own.mean() < 0.95
    fixed = order == np.arange(12)
    # The sides are no whole pixels: one pixel more or less on each.
    np.testing.assert_allclose(share[~fixed], own.mean((1, 2, 3))[~fixed], atol=0.25)
    outside = map(array, layer(ops.convert_to_tensor(x), training=False))
    np.testing.assert_array_equal(next(outside), x)


def test_mixed_labels_and_the_teachers_loss_are_the_formulas(rng):
    logits, teacher = rng.normal(size=(2, 5, 3)).astype("float32")
    outputs = {
        "logits": ops.convert_to_tensor(logits),
        "teacher": ops.convert_to_tensor(teacher),
        "order": ops.convert_to_tensor(np.array([1, 0, 2, 4, 3], "int32")),
        "share": ops.convert_to_tensor(np.array([1, 0.25, 0.5, 0, 0.75], "float32")),
    }
    labels = array(
        mixed_labels(outputs, ops.convert_to_tensor(np.array([0, 1, 2, 0, 1])))
    )
    expected = [[1, 0, 0], [0.75, 0.25, 0], [0, 0, 1], [0, 1, 0], [0.25, 0.75, 0]]
    np.testing.assert_allclose(labels, expected)

    def softmax(z):
        return np.exp(z) / np.exp(z).sum(-1, keepdims=True)

    p, q = softmax(teacher / 2), softmax(logits / 2)
    divergence = (p * np.log(p / q)).sum(-1)
    for weights in (np.ones(5), np.array([1, 1, 0, 1, 0])):
        loss = teacher_loss(
            outputs, ops.convert_to_tensor(weights.astype("float32")), 2.0
        )
        mean = 4 * (divergence * weights).sum() / weights.sum()
        np.testing.assert_allclose(array(loss), mean, rtol=1e-4)


def test_a_distilled_run_comes_near_its_teacher_which_stays(digits, tmp_path):
    plain = SMALL.replace(
        skeleton="fc:depth=1,width=16", augmentation="none", epochs=20
    )
    plain = plain.replace(batch_norm=None, optimizer="adam", learning_rate=0.01)
    fit(plain.replace(family="dnn"), tmp_path / "dnn", dataset=digits, progress=False)
    teacher = load_trained(str(tmp_path / "dnn"))
    weights = teacher.get_weights()
    pupil = plain.replace(distill_from=str(tmp_path / "dnn"), distill_weight=0.99)

    def distance(net):
        logits = [n.predict(digits.x_train, verbose=0) for n in (teacher, net)]
        wanted, got = (z - z.mean(1, keepdims=True) for z in logits)
        return np.abs(wanted - got).mean()

    alone, taught = (fit(r, dataset=digits, progress=False) for r in (plain, pupil))
    assert distance(taught.model) < 0.7 * distance(alone.model)
    assert taught.test_accuracy > 0.5
    assert len(taught.data["teacher"]) == 16
    assert "teacher" not in alone.data
    again = load_trained(str(tmp_path / "dnn")).get_weights()
    assert all(map(np.array_equal, weights, again))
    other = dk.DNN("fc:depth=1,width=4", (8, 8, 1), 7)
    other.save(tmp_path / "seven.keras")
    wrong = pupil.replace(distill_from=str(tmp_path / "seven.keras"))
    with pytest.raises(ValueError, match="7 there, 10 here"):
        fit(wrong, dataset=digits, progress=False)


def test_the_result_is_the_moving_average_of_the_steps(digits, monkeypatch):
    recipe = SMALL.replace(ema=0.7, augmentation="none")
    monkeypatch.setattr("dlgn_keras.training.fitting.LONGEST_CHUNK", 1)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            seen.append([array(v) for v in self.model.trainable_variables])

    result = fit(recipe, dataset=digits, progress=False, callbacks=[Watch()])
    average = seen[0]
    for weights in seen[1:]:
        average = [0.7 * a + 0.3 * w for a, w in zip(average, weights, strict=True)]
    last = [array(v) for v in result.model.trainable_variables]
    for a, b in zip(average, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert any(
        not np.allclose(a, raw) for a, raw in zip(average, seen[-1], strict=True)
    )
    logits = result.model.predict(digits.x_test, verbose=0)
    hits = (logits.argmax(1) == digits.y_test).mean()
    assert result.test_accuracy == pytest.approx(hits)


def test_biases_take_longer_steps():
    moved = {}
    for rate in (1.0, 8.0):
        net = dk.DNN("fc:depth=1,width=4", (3,), 2, seed=0)
        net.compile(
            make_optimizer(Recipe(optimizer="sgd", bias_rate=rate), 10),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        before = [array(v) for v in net.trainable_variables]
        net.train_on_batch(np.ones((4, 3), "float32"), np.array([0, 1, 1, 1]))
        after = [array(v) for v in net.trainable_variables]
        moved[rate] = [b - a for a, b in zip(before, after, strict=True)]
    for variable, slow, fast in zip(
        net.trainable_variables, moved[1.0], moved[8.0], strict=True
    ):
        factor = 8 if variable.path.endswith("bias") else 1
        assert np.abs(slow).max() > 0
        np.testing.assert_allclose(fast, factor * slow, rtol=1e-4, atol=1e-7)


def test_two_epochs_in_a_row_show_both_forms_of_every_image(rng):
    x = rng.uniform(1, 9, (40, *SHAPE)).astype("float32")
    recipe = Recipe(augmentation="flip", alternating_flip=True, seed=2)
    (flip,) = make_augmentation(recipe, SHAPE, images=40, epoch_steps=2)
    forms = []
    for _ in range(3):
        order = rng.permutation(40)
        mirrored = np.zeros(40, bool)
        for part in (order[:20], order[20:]):
            seen = array(flip(ops.convert_to_tensor(x[part]), part, training=True))
            same = (seen == x[part]).all((1, 2, 3))
            assert np.all(same | (seen == x[part][:, :, ::-1]).all((1, 2, 3)))
            mirrored[part] = ~same
        forms.append(mirrored)
    np.testing.assert_array_equal(forms[0], ~forms[1])
    np.testing.assert_array_equal(forms[0], forms[2])
    assert 8 < forms[0].sum() < 32


def test_a_square_of_the_asked_side_is_erased(rng):
    x = rng.uniform(1, 9, (30, *SHAPE)).astype("float32")
    (erase,) = make_augmentation(Recipe(erase=0.5, seed=1), SHAPE)
    seen = array(erase(ops.convert_to_tensor(x), training=True))
    gone = seen == 0
    assert np.all(gone | (seen == x))
    assert set(gone.sum((1, 2, 3))) == {16}
    assert len({tuple(np.flatnonzero(g)) for g in gone}) > 10


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_an_interrupted_run_with_all_of_it_goes_on_to_the_same_bits(
    digits, tmp_path, mix
):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    recipe = ALL.replace(mixup=0.0, cutmix=1.0) if mix == "cutmix" else ALL
    whole = fit(recipe, dataset=digits, progress=False)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, tmp_path, dataset=digits, progress=False, callbacks=[Stop()])
    parts = fit(recipe, tmp_path, dataset=digits, progress=False)
    assert parts.interruptions == 2
    weights = whole.model.get_weights(), parts.model.get_weights()
    assert all(map(np.array_equal, *weights))
    assert whole.test_accuracy == parts.test_accuracy


def test_a_run_has_all_that_its_recipe_names(digits):
    trainer = Run(ALL, digits, 16, Share()).trainer
    assert [layer.name for layer in trainer.layers[2:]] == [
        "shift", "flip", "erase", "mixing", "dlgn",
    ]  # fmt: skip
    assert (trainer.optimizer.ema_momentum, trainer.optimizer.bias_rate) == (0.8, 4.0)
    plain = Run(SMALL, digits, 16, Share()).trainer
    assert [layer.name for layer in plain.layers[2:]] == ["shift", "flip", "dlgn"]
    assert not plain.optimizer.use_ema


def test_what_contradicts_itself_is_refused():
    for fields, text in [
        ({"mixup": 0.2, "cutmix": 0.2}, "At most one"),
        ({"alternating_flip": True}, "augmentation that flips"),
        ({"bias_rate": 2.0, "optimizer": "adam"}, "`bias_rate` must be 1"),
        ({"erase": 1.0}, "`erase` must be at least 0 and below 1"),
        ({"temperature": 0.0}, "`temperature` must be above 0"),
    ]:
        with pytest.raises(ValueError, match=text):
            Recipe(**fields)
    with pytest.raises(ValueError, match="need images"):
        make_mixing(Recipe(mixup=0.2), (20,))
    assert ChunkTrainer.distillation == (0.0, 1.0)


def test_a_residual_net_may_leave_its_skip_path_free():
    free = dk.skeletons.resnet(8, skip_gates=False)
    assert len(free.site_names) == 4
    assert len(dk.skeletons.resnet(8).site_names) == 7
    assert dk.skeletons.parse("resnet8:skip_gates=false") == free
