"""Augmentation of images, on the device, inside the compiled step."""

from typing import Any

import keras
from keras import ops

SHARE = 8  # an image moves by up to an eighth of its size: 4 of 32 pixels


@keras.saving.register_keras_serializable(package="dlgn_keras")
class RandomShift(keras.layers.Layer):
    """Move every image by its own whole numbers of pixels while training.

    What comes in at the edges is 0. Rows and columns move by independent
    amounts, uniform over -most..most: "pad, then crop at random".
    Keras' RandomCrop moves a whole batch alike; its RandomTranslation draws
    fractions of pixels, is not compiled, and took 10 to 100 times longer.

    Args:
        most: (rows, columns), the largest moves, in pixels.
        seed: integer of the moves.

    Call arguments:
        images: (batch, height, width, channels).
        training: bool; images pass unchanged unless True.

    Output shape: the input's.

    Example:
        >>> import keras
        >>> from dlgn_keras.training.augmentation import RandomShift
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

    "shift" moves each image by up to 4 of 32 pixels, black coming in at the
    edges; "flip" mirrors half of them, left and right.

    Args:
        name: "none", "flip", "shift" or "shift_flip".
        input_shape: of one image, (height, width, channels).
        seed: integer of the draws.

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
