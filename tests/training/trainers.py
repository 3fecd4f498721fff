"""A small trainer of every option, compiled: what the tests of its step run."""

import dlgn_keras as dk
from dlgn_keras.training.devices import computing_in
from dlgn_keras.training.ingredients import make_augmentation, make_loss, make_optimizer
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.step import FirstNonFinite, make_trainer

SHAPE, NUMBER, BATCH, CLASSES = (8, 8, 3), 24, 4, 3
STEPS = NUMBER // BATCH
RECIPE = Recipe(
    optimizer="sgd", learning_rate=0.1, schedule="one_cycle", weight_decay=0.01,
    clip_norm=1.0, label_smoothing=0.1, batch_size=BATCH,
)  # fmt: skip


def examples(rng):
    x = rng.integers(0, 256, (NUMBER, *SHAPE)).astype("uint8")
    return x, rng.integers(0, CLASSES, NUMBER).astype("int32")


def make(x, family="dlgn", policy="float32", augmentation="shift_flip", more=()):
    """A trainer on `x`; `more` layers follow the augmentation."""
    skeleton = dk.skeletons.gconv((4, 4), (6,), batch_norm=True)
    with computing_in(policy):
        net = dk.models.FAMILIES[family](skeleton, SHAPE, CLASSES, seed=1)
        recipe = Recipe(augmentation=augmentation, seed=7)
        layers = [*make_augmentation(recipe, SHAPE), *more]
        return compiled(make_trainer(net, x, layers, BATCH))


def compiled(trainer):
    trainer.compile(
        make_optimizer(RECIPE, 2 * STEPS),
        make_loss(RECIPE, CLASSES),
        metrics=[FirstNonFinite()],
        weighted_metrics=["accuracy"],
    )
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer
