"""Data sets from .npz files with x_train, y_train, x_test and y_test."""

import zipfile
from pathlib import Path

import numpy as np

from dlgn_keras.data.checks import (
    check_inputs,
    check_labels,
    check_numbers,
    count_classes,
)
from dlgn_keras.data.dataset import Dataset
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.tools.files import expanded
from dlgn_keras.tools.messages import one_line

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("x_validation", "y_validation")


def read_npz(
    path: str | Path, num_classes: int | None = None, targets: str = "classes"
) -> Dataset:
    """Return the data set that an .npz file holds; nothing in it is unpickled.

    Inputs of integer type are pixels: their preprocessing is (x - mean) / std of
    the file's own training inputs, per channel if they are (n, height, width,
    channels), else over all values; integers (n, height, width) become grey images
    with one channel. A picture file then gives the pixels it holds, 0 to 255 (0 to 1
    in a set of black and white, 0 to 65535 in one of 16 bits). Inputs of
    floating-point type are features and pass as they are. Arrays x_validation and
    y_validation are read if they are there.

    Args:
        path: the file, written with `numpy.savez` or `numpy.savez_compressed`.
        targets: "classes" or "numbers", see `Dataset`.
        num_classes: number of classes; default the highest training label plus one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an npz file, an array is missing or damaged, the arrays do
            not pass `check_arrays`, or a stray label.
    """
    path = expanded(path, "name")
    arrays = _read_arrays(path)
    try:
        check_inputs(arrays["x_train"], "x_train")
        if targets == "classes":
            labels = check_labels(arrays["y_train"], name="y_train")
            outputs = num_classes or count_classes(labels, "y_train")
        else:
            _, labels = check_numbers(arrays["x_train"], arrays["y_train"])
            outputs = labels.shape[1]
        for name in [name for name in arrays if name.startswith("x_")]:
            x = arrays[name]
            if x.ndim == 3 and np.issubdtype(x.dtype, np.integer):
                arrays[name] = x[..., np.newaxis]
        return Dataset(
            name=path.stem,
            x_train=arrays["x_train"],
            y_train=labels,
            x_test=arrays["x_test"],
            y_test=arrays["y_test"],
            x_validation=arrays.get("x_validation"),
            y_validation=arrays.get("y_validation"),
            num_classes=outputs,
            targets=targets,
            preprocessing=statistics(arrays["x_train"]),
            terms=f"Read from {path.name}; its owner's terms apply.",
        )
    except ValueError as error:
        raise ValueError(f"Data in {path}: {error}") from None


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays we know by name."""
    if not path.is_file():
        raise FileNotFoundError(
            "`name` must be a known data set or an existing .npz file. "
            f"Received: name={str(path)!r}, and no such file is there."
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "`name` must be an .npz file as numpy.savez writes it. "
            f"Received: name={str(path)!r}, which is not, or not whole."
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in REQUIRED if name not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "no arrays"
                raise ValueError(
                    f"`name` must be an .npz file with the arrays "
                    f"{', '.join(REQUIRED)}. Received: name={str(path)!r}, where "
                    f"{', '.join(missing)} is missing; it holds {found}."
                )
            names = [name for name in REQUIRED + OPTIONAL if name in archive.files]
            return {name: _read_array(archive, name, path) for name in names}
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"Cannot read {path}, is it whole? {error}") from None


def _read_array(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> np.ndarray:
    """Return one array; NumPy itself refuses arrays of Python objects."""
    try:
        array = archive[name]
    except Exception as error:  # damage shows as anything: zip, NumPy, a lack of memory
        reason = one_line(error)[:200] or type(error).__name__
        raise ValueError(f"Cannot read {name!r} in {path}: {reason}") from None
    if not isinstance(array, np.ndarray):  # a zip member that is no .npy file
        raise ValueError(f"Cannot read {name!r} in {path}: it is not an array.")
    return array


def statistics(x: np.ndarray) -> Preprocessing:
    """Return the preprocessing that standardises integer inputs; floats pass."""
    if not np.issubdtype(x.dtype, np.integer):
        return Preprocessing()
    values = x.reshape(-1, x.shape[-1] if x.ndim == 4 else 1)
    total, squares = np.zeros((2, values.shape[1]))
    # In pieces: a float64 copy of all images would take eight times their memory.
    for start in range(0, len(values), 1 << 20):
        piece = values[start : start + (1 << 20)].astype(np.float64)
        total += piece.sum(axis=0)
        squares += np.square(piece).sum(axis=0)
    mean = total / len(values)
    std = np.sqrt(np.maximum(squares / len(values) - np.square(mean), 0))
    std[std == 0] = 1  # a constant channel stays constant
    scale, offset = (1 / std).tolist(), (-mean / std).tolist()
    if len(scale) == 1:
        scale, offset = scale[0], offset[0]
    return Preprocessing(scale, offset, _pixel_range(x) if x.ndim == 4 else None)


def _pixel_range(x: np.ndarray) -> tuple[float, float] | None:
    """Return the range of the format that holds these pixels, not of the pixels."""
    if x.dtype == np.int8:
        return (-128.0, 127.0)
    tops = (1.0, 255.0, 65535.0)
    return next(((0.0, top) for top in tops if 0 <= x.min() and x.max() <= top), None)
