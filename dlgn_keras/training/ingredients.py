"""The Keras objects a recipe names: schedule, optimizer, loss and augmentation."""

from typing import Any

import keras
from keras import ops

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

    The mean over a batch is weighted, so the examples of weight zero that pad the
    last batch have no effect.
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


SHARE = 8  # an image moves by up to an eighth of its size: 4 of 32 pixels


@keras.saving.register_keras_serializable(package="dlgn_keras")
class RandomShift(keras.layers.Layer):
    """Shift every image by its own random whole number of pixels while training.

    The images are padded with zeros and cropped at random. Row and column shifts
    are independent and uniform over -most..most. Keras' RandomCrop shifts all
    images of a batch alike; its RandomTranslation draws fractions of pixels, is not
    compiled, and took 10 to 100 times longer.

    Args:
        most: (rows, columns), the largest shifts in pixels.
        seed: integer seed of the shifts.

    Call arguments:
        images: (batch, height, width, channels).
        training: bool; images pass unchanged unless True.

    Output shape: the input's.

    Example:
        >>> import keras
        >>> from dlgn_keras.training.ingredients import RandomShift
        >>> image = keras.ops.ones((1, 3, 3, 1))
        >>> float(keras.ops.sum(RandomShift((0, 0), 0)(image, training=True)))
        9.0
    """

    def __init__(self, most: tuple[int, int], seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.most = tuple(most)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        number = ops.shape(images)[0]
        _, height, width, channels = images.shape
        starts = [
            keras.random.randint((number, 1), 0, 2 * most + 1, seed=self.generator)
            for most in self.most
        ]
        rows = starts[0] + ops.arange(height, dtype="int32")
        columns = starts[1] + ops.arange(width, dtype="int32")
        tall, wide = height + 2 * self.most[0], width + 2 * self.most[1]
        pads = [(0, 0), *((most, most) for most in self.most), (0, 0)]
        pixels = ops.reshape(ops.pad(images, pads), (-1, channels))
        first = ops.arange(number, dtype="int32")[:, None, None] * (tall * wide)
        places = first + rows[:, :, None] * wide + columns[:, None, :]
        return ops.take(pixels, places, axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "most": self.most, "seed": self.seed}


def make_augmentation(name: str, input_shape: tuple, seed: int) -> list:
    """Return the layers that a recipe's `augmentation` names.

    "shift" shifts each image by up to 4 of 32 pixels and fills the edges with black;
    "flip" mirrors half of the images horizontally.

    Args:
        name: "none", "flip", "shift" or "shift_flip".
        input_shape: of one image, (height, width, channels).
        seed: integer seed of the draws.

    Raises:
        ValueError: inputs that are not images.
    """
    if name == "none":
        return []
    if len(input_shape) != 3:
        raise ValueError(
            f"`augmentation` needs images (height, width, channels). Received: "
            f"augmentation={name!r} for inputs of shape {tuple(input_shape)}."
        )
    # Raw pixels keep their exact values under mixed precision too.
    options: dict[str, Any] = {"seed": seed, "dtype": "float32"}
    layers: list[keras.layers.Layer] = []
    if "shift" in name:
        height, width = (max(1, round(size / SHARE)) for size in input_shape[:2])
        layers.append(RandomShift((height, width), name="shift", **options))
    if "flip" in name:
        flip = keras.layers.RandomFlip(
            "horizontal", data_format="channels_last", name="flip", **options
        )
        layers.append(flip)
    return layers
