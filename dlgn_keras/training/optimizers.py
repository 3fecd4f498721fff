"""From a recipe's names to Keras' own optimizers, schedules and losses."""

from typing import Any

import keras

from dlgn_keras.training.recipe import Recipe

NOT_DECAYED = ["bias", "gamma", "beta"]


def make_schedule(recipe: Recipe, steps: int) -> Any:
    """Return the learning rate, a number or a Keras schedule over `steps` steps.

    "one_cycle" rises in a straight line from `learning_rate / 25`, then falls to
    0 along a cosine; "cosine" only falls; "piecewise" has `rates[k]` from step
    `boundaries[k - 1]` on (from 0).
    """
    rate = recipe.learning_rate
    if recipe.schedule == "piecewise":
        # Keras still uses the old rate at the boundary itself.
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [boundary - 1 for boundary in recipe.boundaries], list(recipe.rates)
        )
    if recipe.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    if recipe.schedule == "one_cycle":
        rising = max(1, round(recipe.warmup * steps))
        return keras.optimizers.schedules.CosineDecay(
            rate / 25,
            max(1, steps - rising),
            alpha=0.0,
            warmup_target=rate,
            warmup_steps=rising,
        )
    return rate


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a run of `steps` steps; biases and norms never decay."""
    options: dict[str, Any] = {
        "learning_rate": make_schedule(recipe, steps),
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm,
    }
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(
            momentum=recipe.momentum, nesterov=recipe.nesterov, **options
        )
    elif recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(**options)
    else:
        optimizer = keras.optimizers.AdamW(
            **{**options, "weight_decay": recipe.weight_decay}
        )
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def make_loss(recipe: Recipe, num_classes: int) -> keras.losses.Loss:
    """Return cross-entropy on logits, labels as class numbers.

    The mean over a batch is taken by weight: examples of weight zero, which
    fill up a last batch, change nothing.
    """
    mean: Any = {"reduction": "mean_with_sample_weight"}
    if recipe.label_smoothing == 0:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **mean)
    return SmoothedCrossentropy(num_classes, recipe.label_smoothing, **mean)


@keras.saving.register_keras_serializable(package="dlgn_keras")
class SmoothedCrossentropy(keras.losses.Loss):
    """Keras' categorical cross-entropy with label smoothing, for class numbers.

    Args:
        num_classes: number of logits.
        label_smoothing: share of the label spread over all classes, 0 to 1.
    """

    def __init__(self, num_classes: int, label_smoothing: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels = keras.ops.one_hot(
            keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32"), self.num_classes
        )
        return keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "label_smoothing": self.label_smoothing,
        }
