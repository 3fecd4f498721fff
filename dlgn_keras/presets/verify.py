"""Verify presets: hashes, golden logits, test accuracy.

golden.npz holds a few raw inputs and the logits the stored weights give for them.
"""

import math
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data import Dataset
from dlgn_keras.data.scores import LOSSES, check_outputs_fit, evaluate, loss_of
from dlgn_keras.presets.files import GOLDEN, LIMITS, check_files
from dlgn_keras.presets.find import find
from dlgn_keras.presets.load import from_preset
from dlgn_keras.tools.messages import one_line

NUMBER = 8
TOLERANCE = 1e-3
EVALUATION_BATCH = 500


class Golden(NamedTuple):
    """Raw inputs (8, *input_shape) in their own dtype, and logits (8, classes)."""

    inputs: np.ndarray
    logits: np.ndarray


class Verification(NamedTuple):
    """The outcome of `verify`.

    Fields:
        name: name of the preset.
        parameters: number of weights.
        golden_error: largest deviation from the golden logits, over their scale.
        accuracy: on the test set, a share; None without a data set.
        stated: accuracy of the stored weights by the metadata, or None.
        score: what both are, "accuracy", or "r2" of the loss mse.
    """

    name: str
    parameters: int
    golden_error: float
    accuracy: float | None
    stated: float | None
    score: str = "accuracy"


def verify(
    preset: str | os.PathLike[str], dataset: Dataset | None = None
) -> Verification:
    """Check a preset's hashes, goldens and, with data, its accuracy.

    Args:
        preset: as for `from_preset`.
        dataset: the data set it was trained on, to measure the test accuracy anew.

    Raises:
        ValueError: damaged files, another number of parameters, logits off by more
            than 1e-3 of their scale, an accuracy that is not the stated one.

    Example:
        >>> import dlgn_keras as dk
        >>> from dlgn_keras.presets import verify
        >>> verify("dnn_fc_digits", dk.data.load("digits")).golden_error < 1e-3
        True
    """
    folder = find(preset)
    metadata = check_files(folder)
    net = from_preset(folder)
    name = metadata.get("name", folder.name)
    if net.count_params() != metadata.get("parameter_count"):
        raise ValueError(
            f"{name}: the model has {net.count_params()} parameters, its metadata say "
            f"{metadata.get('parameter_count')!r}."
        )
    error = golden_error(net, read_golden(folder / GOLDEN))
    if not error <= TOLERANCE:
        raise ValueError(
            f"{name}: the logits differ from the golden ones by {error:.2g} of their "
            f"scale; at most {TOLERANCE:g} is rounding."
        )
    stated = metadata.get("results", {}).get("stored_weights")
    accuracy = None if dataset is None else _measured(net, dataset)
    if dataset is not None and accuracy is not None and stated is not None:
        # Two examples of rounding: logits that nearly tie fall either way.
        if abs(accuracy - stated) * len(dataset.y_test) > 2.5:
            raise ValueError(
                f"{name}: test accuracy is {accuracy:.4f}, its metadata say {stated}."
            )
    measure = LOSSES[loss_of(net)]
    return Verification(name, net.count_params(), error, accuracy, stated, measure)


def _measured(net: Any, dataset: Dataset) -> float:
    check_outputs_fit(net, dataset)
    figures = evaluate(net, dataset.x_test, dataset.y_test, EVALUATION_BATCH)
    return figures[LOSSES[loss_of(net)]]


def examples_for(net: Any, seed: int = 0) -> np.ndarray:
    """Return random raw inputs, in the raw range of the preprocessing."""
    rng = np.random.default_rng(seed)
    shape = (NUMBER, *net.input_shape[1:])
    limits = net.preprocessing.raw_range if net.preprocessing else None
    draws = (
        rng.normal(size=shape) if limits is None else rng.uniform(*limits, size=shape)
    )
    return draws.astype("float32")


def save_golden(net: Any, inputs: Any, path: Path) -> None:
    """Write the first inputs and the model's logits for them."""
    inputs = np.asarray(inputs)[:NUMBER]
    logits = np.asarray(net.predict(inputs, verbose=0), np.float32)
    np.savez(path, inputs=inputs, logits=logits)


def read_golden(path: Path) -> Golden:
    """Read golden.npz without unpickling; its arrays are checked before they are read.

    Raises:
        ValueError: a damaged file, or one of another kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            golden = Golden(*(_read_array(archive, name) for name in Golden._fields))
            if not 1 <= len(golden.inputs) == len(golden.logits):
                raise ValueError("inputs and logits must be of as many examples")
            return golden
    except Exception as error:  # zip, zlib and NumPy raise errors of many kinds
        line = one_line(error)[:200]
        raise ValueError(f"{path} is no whole golden file: {line}.") from None


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return an array of numbers, if it is as large as its header says."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, _, dtype = header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "fiub" or not shape:
            raise ValueError(f"{name} must be numbers (n, ...), not {dtype} {shape}")
        if size > LIMITS[GOLDEN] or file.tell() + size != info.file_size:
            raise ValueError(f"{name} must hold {size:,} bytes, not {info.file_size:,}")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def golden_error(net: Any, golden: Golden) -> float:
    """Return the largest deviation from the golden logits, over their scale.

    The scale is the largest absolute golden logit. Above 1e-3 something differs:
    weights, preprocessing, or what a backend computes.
    """
    if golden.inputs.shape[1:] != net.input_shape[1:]:
        return float("inf")
    logits = net.predict(golden.inputs, verbose=0)
    if logits.shape != golden.logits.shape:
        return float("inf")
    deviation = np.abs(logits - golden.logits).max()
    scale = np.abs(golden.logits).max()
    return float(deviation / scale) if scale else float(deviation)
