"""Read image files of any size and mode as raw inputs of a model."""

import os
from typing import NamedTuple

import numpy as np

from dlgn_keras.data.pictures import cut_to_size, flatten, opened
from dlgn_keras.data.stored import Unreadable
from dlgn_keras.models import BaseModel


class LoadedImage(NamedTuple):
    """A raw input, and the changes made to the image file.

    raw: (height, width, channels) float32, in the raw units of the model.
    notes: one sentence for each change, such as a resize.
    """

    raw: np.ndarray
    notes: tuple[str, ...]


def load_image(path: str | os.PathLike, net: BaseModel) -> LoadedImage:
    """Read an image file as a raw input of a model.

    The image is rotated by its EXIF tag, composited on white where it is transparent,
    converted to the model's grey or RGB, cropped around its centre to the model's
    proportions, and resized. Pixels are scaled without rounding from 0..255 (16-bit
    grey: 0..65535) to the raw range of the model's preprocessing (0..255 if it names
    none).

    Args:
        path: a file that Pillow reads.
        net: the model to feed, with 1 or 3 channels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not an image, is damaged or far too large, or the
            model does not take grey or RGB images.
    """
    name = os.fspath(path)
    shape = tuple(net.input_shape[1:])
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            "`net` must take images of shape (height, width, 1 or 3) to read files. "
            f"Received: {name!r} for a model of input shape {shape}."
        )
    if not os.path.isfile(name):
        raise FileNotFoundError(f"No image file {name!r}.")
    try:
        picture, turned = opened(name, name)
    except Unreadable as error:
        raise ValueError(
            f"`path` must be an image file, such as PNG or JPEG. Received: {error}"
        ) from None
    notes = ["rotated as its EXIF tag says"] if turned else []
    picture, top = flatten(picture, shape[-1], notes)
    picture = cut_to_size(picture, shape[1], shape[0], notes)
    values = np.clip(np.asarray(picture, np.float64).reshape(shape), 0, top)
    preprocessing = getattr(net, "preprocessing", None)
    low, high = getattr(preprocessing, "raw_range", None) or (0.0, 255.0)
    if top not in (255.0, high):
        notes.insert(0, f"scaled from 0..{top:g} to {low:g}..{high:g}")
    raw = low + values * (high - low) / top
    return LoadedImage(raw.astype(np.float32), tuple(notes))
