"""Read image files of any size and mode as raw inputs of a model."""

import os
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.models import BaseModel

DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")


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
    from PIL import Image, ImageOps, UnidentifiedImageError

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
        with Image.open(name) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
            turned = opened.getexif().get(0x0112, 1) != 1
    except UnidentifiedImageError:
        raise ValueError(
            "`path` must be an image file, such as PNG or JPEG. "
            f"Received: {name!r}, which Pillow cannot read."
        ) from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"The image {name!r} cannot be read: {error}.") from None
    notes = ["rotated as its EXIF tag says"] if turned else []
    picture, top = _flatten(picture, shape[-1], notes)
    picture = _fit(picture, shape[1], shape[0], notes)
    values = np.clip(np.asarray(picture, np.float64).reshape(shape), 0, top)
    preprocessing = getattr(net, "preprocessing", None)
    low, high = getattr(preprocessing, "raw_range", None) or (0.0, 255.0)
    if top not in (255.0, high):
        notes.insert(0, f"scaled from 0..{top:g} to {low:g}..{high:g}")
    raw = low + values * (high - low) / top
    return LoadedImage(raw.astype(np.float32), tuple(notes))


def _flatten(picture: Any, channels: int, notes: list[str]) -> tuple[Any, float]:
    """Return the picture in grey or RGB, and the value of its white."""
    from PIL import Image

    if picture.mode in DEEP_MODES:
        values = np.asarray(picture, np.float64)
        if not np.isfinite(values).all():
            raise ValueError(
                "`path` must hold finite pixels. Received: NaN or infinity."
            )
        top = 65535.0 if picture.mode != "F" else max(float(values.max()), 1e-12)
        values = np.clip(values, 0, top)
        if channels == 1:  # keeps its depth; RGB has eight bits
            return Image.fromarray(values.astype(np.float32)), top
        picture = Image.fromarray((values / top * 255).round().astype(np.uint8))
        notes.append("scaled to eight bits")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
        notes.append("transparency laid on white")
    wanted = "L" if channels == 1 else "RGB"
    if picture.mode != wanted:
        if picture.mode != "RGBA":
            notes.append(f"converted from mode {picture.mode} to {wanted}")
        picture = picture.convert(wanted)
    return picture, 255.0


def _fit(picture: Any, width: int, height: int, notes: list[str]) -> Any:
    """Crop the picture to the target proportions and resize it."""
    from PIL import Image, ImageOps

    if picture.size == (width, height):
        return picture
    was = f"{picture.width} x {picture.height}"
    cut = picture.width * height != picture.height * width
    how = "cut around its centre and resized" if cut else "resized"
    notes.append(f"{how} from {was} to {width} x {height}")
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
