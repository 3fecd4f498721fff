"""What a step learns besides class numbers: mixed labels, and a teacher's logits.

A trainer with either gives a dictionary: the logits of the net, and what the loss
needs to know of the mixing and of the teacher.
"""

import hashlib
import warnings
from typing import Any

import keras
from keras import ops

from dlgn_keras.training.recipe import Recipe


class Mixing(keras.layers.Layer):
    """Mix every image with another of its batch, by Keras' MixUp or CutMix.

    Args:
        mix: a `keras.layers.MixUp` or `keras.layers.CutMix`.

    Call arguments:
        images: (batch, height, width, channels).
        training: bool; images pass unchanged unless True.

    Returns:
        The images; `order` (batch,), whose image was mixed in; `share` (batch,), how
        much of an image is its own.
    """

    def __init__(self, mix: keras.layers.Layer) -> None:
        super().__init__(name="mixing", dtype="float32")
        self.mix = mix
        self.built = True

    def call(self, images: Any, training: bool = False) -> tuple[Any, Any, Any]:
        number = ops.shape(images)[0]
        if not training:
            return images, ops.arange(number, dtype="int32"), ops.ones((number,))
        with warnings.catch_warnings():  # Keras asks JAX for 64 bits, and gets 32
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            chosen = self.mix.get_random_transformation(images, training=True)
        images = self.mix.transform_images(images, chosen, training=True)
        order = ops.cast(chosen["permutation_order"], "int32")
        share = ops.reshape(ops.cast(chosen["mix_weight"], "float32"), (-1,))
        return images, order, share

    def compute_output_spec(self, images: Any, training: bool = False) -> tuple:
        batch = images.shape[:1]
        return (
            keras.KerasTensor(images.shape, "float32"),
            keras.KerasTensor(batch, "int32"),
            keras.KerasTensor(batch, "float32"),
        )


def make_mixing(recipe: Recipe, input_shape: tuple) -> Mixing | None:
    """Return the layer that a recipe's `mixup` or `cutmix` asks for, or None.

    Raises:
        ValueError: inputs that are not images.
    """
    if not recipe.mixup and not recipe.cutmix:
        return None
    if len(input_shape) != 3:
        raise ValueError(
            "`mixup` and `cutmix` need images (height, width, channels). Received: "
            f"inputs of shape {tuple(input_shape)}."
        )
    options: dict[str, Any] = {"seed": recipe.seed, "dtype": "float32"}
    options["data_format"] = "channels_last"
    if recipe.mixup:
        return Mixing(keras.layers.MixUp(recipe.mixup, **options))
    return Mixing(keras.layers.CutMix((recipe.cutmix,) * 2, **options))


class Teacher(keras.layers.Layer):
    """A trained model that gives logits and never changes.

    Args:
        net: a model from raw inputs to logits.
    """

    def __init__(self, net: keras.Model) -> None:
        super().__init__(name="teacher")
        net.trainable = False
        self.net = net
        self.built = True

    def call(self, images: Any) -> Any:
        return ops.cast(self.net(images, training=False), "float32")

    def compute_output_spec(self, images: Any) -> keras.KerasTensor:
        shape = (images.shape[0], *self.net.output_shape[1:])
        return keras.KerasTensor(shape, "float32")

    @property
    def sha256(self) -> str:
        """Sixteen hex digits of a hash of all weights, in their order."""
        digest = hashlib.sha256()
        for weight in self.net.get_weights():
            digest.update(weight.tobytes())
        return digest.hexdigest()[:16]


def mixed_labels(outputs: dict[str, Any], labels: Any) -> Any:
    """Return one-hot labels (batch, classes), mixed as the images were."""
    classes = outputs["logits"].shape[-1]
    own = ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), classes)
    share = ops.reshape(outputs["share"], (-1, 1))
    return share * own + (1.0 - share) * ops.take(own, outputs["order"], axis=0)


def teacher_loss(outputs: dict[str, Any], weights: Any, temperature: float) -> Any:
    """Return Keras' distillation loss, its mean over the examples that have weight."""
    teacher = ops.stop_gradient(outputs["teacher"])
    counts = ops.reshape(ops.cast(weights, "float32"), (-1, 1))
    # Where both agree the divergence is 0: an example of weight 0 adds nothing.
    student = ops.where(counts > 0, ops.cast(outputs["logits"], "float32"), teacher)
    # Keras takes the logits themselves for probabilities if the loss is a name.
    loss = keras.distillation.LogitsDistillation(
        temperature, keras.losses.KLDivergence()
    )
    mean = loss.compute_loss(teacher, student)
    size = ops.cast(ops.shape(counts)[0], "float32")
    return mean * size / ops.maximum(ops.sum(counts), 1.0)
