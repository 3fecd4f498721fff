"""The Keras objects a recipe names: schedule, optimizer, loss and augmentation."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.training.recipe import Recipe

SHIFTS = ("bias", "beta")
NOT_DECAYED = [*SHIFTS, "gamma"]


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
    if recipe.ema:
        options |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
        if recipe.bias_rate == 1:
            optimizer = keras.optimizers.SGD(**options)
        else:
            optimizer = BiasRateSGD(recipe.bias_rate, **options)
    elif recipe.optimizer == "adam":
        optimizer = keras.optimizers.Adam(**options)
    elif recipe.optimizer == "muon":
        # Kernels of dense layers but the last; Adam moves all other weights.
        optimizer = keras.optimizers.Muon(
            exclude_layers=["logits"],
            adam_weight_decay=recipe.weight_decay or None,
            **options,
        )
    else:
        optimizer = keras.optimizers.AdamW(
            **{**options, "weight_decay": recipe.weight_decay}
        )
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


class BiasRateSGD(keras.optimizers.SGD):
    """SGD with another learning rate for biases and the shifts of batch norm.

    The gradients of these are multiplied, which under SGD is a rate of their own: the
    update is linear in the gradient, with momentum too, and they have no decay.

    Args:
        bias_rate: factor on the learning rate of biases and shifts.
        kwargs: arguments of `keras.optimizers.SGD`.

    Reference: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
    arXiv 2404.00498, section 3.
    """

    def __init__(self, bias_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bias_rate = bias_rate

    def apply(self, grads: list, trainable_variables: list | None = None) -> Any:
        variables = trainable_variables or self._trainable_variables
        scaled = [
            gradient * self.bias_rate
            if gradient is not None and variable.path.split("/")[-1] in SHIFTS
            else gradient
            for gradient, variable in zip(grads, variables, strict=True)
        ]
        return super().apply(scaled, trainable_variables)


def make_loss(recipe: Recipe, num_classes: int) -> keras.losses.Loss:
    """Return the recipe's loss: on logits and class numbers, or on numbers.

    The mean over a batch is weighted, so the examples of weight zero that pad the
    last batch have no effect.
    """
    mean: Any = {"reduction": "mean_with_sample_weight"}
    if recipe.loss == "mse":
        return keras.losses.MeanSquaredError(**mean)
    if recipe.loss == "binary":
        return keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing, **mean
        )
    if recipe.mixup or recipe.cutmix:  # labels come as shares of the classes
        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing, **mean
        )
    if recipe.label_smoothing == 0:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **mean)
    return SmoothedCrossentropy(num_classes, recipe.label_smoothing, **mean)


def make_score(recipe: Recipe, targets: np.ndarray) -> Any:
    """Return the metric of the recipe's loss, called `recipe.score`.

    Args:
        recipe: its loss decides.
        targets: (n, outputs) numbers of the training part, for R^2.
    """
    if recipe.loss == "mse":
        return R2(targets.mean(axis=0, dtype=float))
    if recipe.loss == "binary":
        return keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    return "accuracy"


class R2(keras.metrics.Metric):
    """1 - squared error / variance: mean over the outputs, 1 if all is explained.

    Args:
        center: (outputs,) numbers near the means of the targets: sums of squares about
            them keep their digits.
    """

    def __init__(self, center: Any) -> None:
        super().__init__(name="r2", dtype="float32")
        center = np.asarray(center, "float32")
        # A variable: the tracer of torch's steps takes no other tensor.
        self.center = self.add_variable(center.shape, "zeros", name="center")
        self.center.assign(center)
        names = ("count", "sum", "squares", "errors")
        shapes = ((), *[center.shape] * 3)
        self.sums = [
            self.add_variable(shape, "zeros", name=name)
            for name, shape in zip(names, shapes, strict=True)
        ]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.cast(y_pred, "float32")
        y_true = ops.reshape(ops.cast(y_true, "float32"), ops.shape(y_pred))
        weights = ops.ones_like(y_pred[:, :1])
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        from_center = y_true - self.center
        parts = [from_center, ops.square(from_center), ops.square(y_true - y_pred)]
        added = [ops.sum(weights), *(ops.sum(weights * part, axis=0) for part in parts)]
        for variable, value in zip(self.sums, added, strict=True):
            variable.assign(variable + value)

    def reset_state(self) -> None:
        for variable in self.sums:
            variable.assign(ops.zeros(variable.shape))

    def result(self) -> Any:
        count, total, squares, errors = (v.value for v in self.sums)
        spread = squares - ops.square(total) / ops.maximum(count, 1.0)
        return ops.mean(1.0 - errors / ops.maximum(spread, 1e-12))


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


class AlternatingFlip(keras.layers.Layer):
    """Mirror every image in every second epoch; which epochs is drawn per image.

    In any two epochs in a row a network sees both forms of an image, once each.

    Args:
        images: number of images in the training part.
        epoch_steps: steps of an epoch.
        seed: integer seed of the draws.

    Call arguments:
        images: (batch, height, width, channels).
        indices: (batch,) numbers of the images in the data set.
        training: bool; images pass unchanged unless True.

    Reference: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
    arXiv 2404.00498, section 3.6.
    """

    def __init__(self, images: int, epoch_steps: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epoch_steps = epoch_steps
        self.first = np.random.default_rng(seed).integers(0, 2, images, "int32")
        self.step = self.add_weight((), "zeros", "int32", trainable=False, name="step")
        self.built = True

    def call(self, images: Any, indices: Any, training: bool = False) -> Any:
        if not training:
            return images
        epoch = ops.floor_divide(self.step.value, self.epoch_steps)
        self.step.assign(self.step + 1)
        mirrored = ops.equal((ops.take(self.first, indices) + epoch) % 2, 1)
        return ops.where(
            mirrored[:, None, None, None], ops.flip(images, axis=2), images
        )

    def compute_output_spec(
        self, images: Any, indices: Any, training: bool = False
    ) -> keras.KerasTensor:
        return keras.KerasTensor(images.shape, images.dtype)


def make_augmentation(
    recipe: Recipe, input_shape: tuple, images: int = 1, epoch_steps: int = 1
) -> list:
    """Return the layers that change one image at a time, as a recipe wants it.

    "shift" shifts each image by up to 4 of 32 pixels and fills the edges with black;
    "flip" mirrors half of the images horizontally; `erase` blackens a square.

    Args:
        recipe: its `augmentation`, `alternating_flip`, `erase` and `seed` count.
        input_shape: of one image, (height, width, channels).
        images: number of images in the training part, for `alternating_flip`.
        epoch_steps: steps of an epoch, for `alternating_flip`.

    Raises:
        ValueError: inputs that are not images.
    """
    name, erase = recipe.augmentation, recipe.erase
    if name == "none" and not erase:
        return []
    if len(input_shape) != 3:
        raise ValueError(
            f"`augmentation` needs images (height, width, channels). Received: "
            f"augmentation={name!r}, erase={erase} for inputs of shape "
            f"{tuple(input_shape)}."
        )
    # Raw pixels keep their exact values under mixed precision too.
    options: dict[str, Any] = {"seed": recipe.seed, "dtype": "float32"}
    layers: list[keras.layers.Layer] = []
    if "shift" in name:
        height, width = (max(1, round(size / SHARE)) for size in input_shape[:2])
        layers.append(RandomShift((height, width), name="shift", **options))
    if recipe.alternating_flip:
        layers.append(AlternatingFlip(images, epoch_steps, name="flip", **options))
    elif "flip" in name:
        flip = keras.layers.RandomFlip(
            "horizontal", data_format="channels_last", name="flip", **options
        )
        layers.append(flip)
    if erase:
        area = (erase**2, erase**2)
        options |= {"fill_value": 0.0, "data_format": "channels_last"}
        layers.append(
            keras.layers.RandomErasing((1.0, 1.0), scale=area, name="erase", **options)
        )
    return layers
