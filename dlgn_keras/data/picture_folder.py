"""A folder of pictures as a data set: one folder a class."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.data.pictures import (
    SUFFIXES,
    PictureFiles,
    common_size,
    size_and_mode,
)
from dlgn_keras.data.stored import Stored, Unreadable, refuse

PARTS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
TEST_SHARE = 0.2


def read_folder(
    folder: Path, image_size: Any = None, skip: bool = False
) -> tuple[dict[str, tuple[Stored, np.ndarray]], tuple[str, ...]]:
    """Return {split: (pictures, class numbers)} of a folder, and the classes' names.

    The folder holds a folder of pictures for each class, or train/ and test/ (and
    validation/, if there is one) that do. Without them, a picture is one to test
    where the first 32 bits of the SHA-256 of its path below the folder, class
    included, are below a fifth of 2^32: more pictures never move the ones before.
    Classes are numbered by their names in order; so are pictures within a class.
    Files that end in something else than .jpg, .png, .bmp, .gif or .webp, and hidden
    ones, are left out.

    Args:
        folder: the folder.
        image_size: pixels of a side, or (height, width); None where all are alike.
        skip: whether pictures that cannot be read are left out, not refused.

    Raises:
        ValueError: not a folder of classes, sizes that differ.
        Unreadable: pictures that are none, all listed.
    """
    splits = _split_folders(folder)
    top = splits.get("train", folder)
    classes = tuple(sorted(p.name for p in top.iterdir() if _is_class(p)))
    if len(classes) < 2:
        raise ValueError(
            "`name` must be a folder with a folder of pictures for each class, or with "
            f"train and test that are. Received: {str(folder)!r}, where "
            f"{top.name} has {len(classes)} such."
        )
    listed = {
        split: _pictures(folder, part, classes)
        for split, part in (splits or {"all": folder}).items()
    }
    paths = [path for found in listed.values() for path, _ in found]
    names = [path.relative_to(folder).as_posix() for path in paths]
    height, width, channels, good = _looked_at(paths, names, folder, image_size, skip)
    source = PictureFiles(paths, names, (height, width, channels))
    labels = np.array([label for found in listed.values() for _, label in found])
    split_of = np.repeat(list(listed), [len(found) for found in listed.values()])
    if not splits:
        is_test = [_is_test(path.relative_to(folder).as_posix()) for path in paths]
        split_of = np.where(is_test, "test", "train")
    parts = {}
    for split in ("train", "validation", "test"):
        places = np.flatnonzero((split_of == split) & good)
        if len(places):
            parts[split] = (Stored(source, places, skip), labels[places])
    if "train" not in parts or "test" not in parts:
        raise ValueError(
            "`name` must be a folder with pictures to train and to test on. "
            f"Received: {str(folder)!r}, whose {len(paths)} pictures all are to "
            f"{'test' if 'test' in parts else 'train'} on: make train and test in it."
        )
    return parts, classes


def _split_folders(folder: Path) -> dict[str, Path]:
    """Return {split: folder} if there are train and test, else {}."""
    found = {
        split: folder / name
        for split, names in PARTS.items()
        for name in names
        if (folder / name).is_dir()
    }
    return found if {"train", "test"} <= set(found) else {}


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _pictures(folder: Path, part: Path, classes: tuple) -> list[tuple[Path, int]]:
    """Return the pictures below a part's folder of classes, in order."""
    strange = [p.name for p in part.iterdir() if _is_class(p) and p.name not in classes]
    if strange:
        raise ValueError(
            "`name` must be a folder whose parts have the classes of train. "
            f"Received: {str(folder)!r}, whose {part.name} has {sorted(strange)[0]!r}."
        )
    found = []
    for label, name in enumerate(classes):
        files = (part / name).rglob("*") if (part / name).is_dir() else ()
        wanted = [p for p in files if p.suffix.lower() in SUFFIXES and p.is_file()]
        wanted = [p for p in wanted if not p.name.startswith(".")]
        found += [(p, label) for p in sorted(wanted, key=lambda p: p.as_posix())]
    return found


def _is_test(name: str) -> bool:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") < TEST_SHARE * 2**32


def _looked_at(
    paths: list[Path], names: list[str], folder: Path, image_size: Any, skip: bool
) -> tuple[int, int, int, np.ndarray]:
    """Return the pictures' common height, width, channels, and which have headers."""
    good = np.zeros(len(paths), bool)
    sizes, grey = set(), True
    for k, (path, name) in enumerate(zip(paths, names, strict=True)):
        try:
            height, width, is_grey = size_and_mode(path, name)
        except Unreadable:
            continue
        good[k] = True
        sizes.add((height, width))
        grey &= is_grey
    if not skip:
        refuse([names[k] for k in np.flatnonzero(~good)])
    if not sizes:
        raise ValueError(
            f"`name` must be a folder with pictures. Received: {str(folder)!r} with "
            f"{len(paths)} files of {', '.join(SUFFIXES)}, none of them readable."
        )
    return (*common_size(sizes, image_size, str(folder)), 1 if grey else 3, good)
