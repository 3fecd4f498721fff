"""Image files as arrays: rotated, on white, grey or RGB, cropped and resized."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np

from dlgn_keras.data.stored import Unreadable

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")
GREY_MODES = ("1", "L", "LA", "La", *DEEP_MODES)


class PictureFiles:
    """Pictures as a source of `Stored` inputs: uint8 (height, width, channels).

    Args:
        paths: the files; of an animation, the first frame counts.
        names: what tells them apart, wherever their folder is.
        shape: (height, width, 1 or 3) that all of them get.
    """

    dtype = np.dtype(np.uint8)
    kept = None

    def __init__(
        self, paths: Sequence[Any], names: Sequence[str], shape: tuple[int, int, int]
    ) -> None:
        self.paths, self.names, self.shape = paths, names, shape

    def read(self, k: int) -> np.ndarray:
        return pixels(self.paths[k], str(self.paths[k]), self.shape)

    def check(self) -> None:
        pass

    def fact(self, k: int) -> str:
        return self.names[k]


def pixels(file: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of an image of eight bits.

    Args:
        file: a path, or the bytes of one.
        name: what to call it where it cannot be read.
        shape: (height, width, channels).

    Raises:
        Unreadable: the file is not an image, or is damaged.
    """
    height, width, channels = shape
    picture = opened(file, name)[0]
    if picture.mode in DEEP_MODES and channels == 1:
        picture = flatten(picture, 3, [])[0].convert("L")
    picture = flatten(picture, channels, [])[0]
    return np.asarray(cut_to_size(picture, width, height, [])).reshape(shape)


def opened(file: Any, name: str) -> tuple[Any, bool]:
    """Return a decoded Pillow image, and whether its EXIF tag rotated it.

    Raises:
        Unreadable: the file is not an image, or is damaged.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(BytesIO(file) if isinstance(file, bytes) else file) as image:
            image.load()
            turned = image.getexif().get(0x0112, 1) != 1
            return (ImageOps.exif_transpose(image) if turned else image.copy()), turned
    except UnidentifiedImageError:
        raise Unreadable(f"Pillow cannot read {name!r}: it is no image.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error) else error
        raise Unreadable(f"The image {name!r} cannot be read: {reason}.") from None


def size_and_mode(file: Any, name: str) -> tuple[int, int, bool]:
    """Return height, width and whether a file is grey, from its header.

    Raises:
        Unreadable: a header of no image.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(file) if isinstance(file, bytes) else file) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            width, height = image.size[::-1] if turned else image.size
            return height, width, image.mode in GREY_MODES
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Unreadable(f"Pillow cannot read {name!r}: it is no image.") from None


def flatten(picture: Any, channels: int, notes: list[str]) -> tuple[Any, float]:
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


def cut_to_size(picture: Any, width: int, height: int, notes: list[str]) -> Any:
    """Crop the picture around its centre to the proportions, and resize it."""
    from PIL import Image, ImageOps

    if picture.size == (width, height):
        return picture
    was = f"{picture.width} x {picture.height}"
    cut = picture.width * height != picture.height * width
    how = "cut around its centre and resized" if cut else "resized"
    notes.append(f"{how} from {was} to {width} x {height}")
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)


def common_size(
    sizes: set[tuple[int, int]], image_size: int | Sequence[int] | None, what: str
) -> tuple[int, int]:
    """Return the (height, width) that pictures get: what is asked, or their own.

    Raises:
        ValueError: several sizes and none asked for.
    """
    if image_size is not None:
        return checked_size(image_size)
    if len(sizes) != 1:
        low, high = min(sizes, key=np.prod), max(sizes, key=np.prod)
        raise ValueError(
            "`image_size` (--image-size) must say how large to make images of several "
            f"sizes; they are cut around their centre. Received: {what}, whose "
            f"images are from {low[0]} x {low[1]} to {high[0]} x {high[1]}."
        )
    return next(iter(sizes))


def checked_size(image_size: Any) -> tuple[int, int]:
    """Return (height, width) of a number or a pair, or raise a ValueError."""
    pair = image_size if isinstance(image_size, list | tuple) else [image_size] * 2
    whole = all(type(n) is int or isinstance(n, np.integer) for n in pair)
    if len(pair) != 2 or not whole or min(pair) < 1:
        raise ValueError(
            "`image_size` must be a number of pixels, or (height, width). "
            f"Received: image_size={image_size!r}."
        )
    return int(pair[0]), int(pair[1])
