"""golden.npz: a few raw inputs and the logits the stored weights give for them."""

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

NUMBER = 8
TOLERANCE = 1e-3


class Golden(NamedTuple):
    """Raw inputs (8, *input_shape) in their own dtype, and logits (8, classes)."""

    inputs: np.ndarray
    logits: np.ndarray


def examples_for(net: Any, seed: int = 0) -> np.ndarray:
    """Return random raw inputs, in the raw range the preprocessing states."""
    rng = np.random.default_rng(seed)
    shape = (NUMBER, *net.input_shape[1:])
    limits = net.preprocessing.raw_range if net.preprocessing else None
    draws = rng.normal(size=shape) if limits is None else rng.uniform(*limits, shape)
    return draws.astype("float32")


def save_golden(net: Any, inputs: Any, path: Path) -> None:
    """Write the first inputs and what the model makes of them."""
    inputs = np.asarray(inputs)[:NUMBER]
    logits = np.asarray(net.predict(inputs, verbose=0), np.float32)
    np.savez(path, inputs=inputs, logits=logits)


def read_golden(path: Path) -> Golden:
    """Read golden.npz; nothing in it is unpickled.

    Raises:
        ValueError: a file that is not whole, or of another make.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Golden(stored["inputs"], stored["logits"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no whole golden file: {error}.") from None


def golden_error(net: Any, golden: Golden) -> float:
    """Return the largest deviation from the golden logits, over their scale.

    The scale is the largest absolute golden logit; above 1e-3 something differs:
    weights, preprocessing, or a backend that computes something else.
    """
    logits = net.predict(golden.inputs, verbose=0)
    if logits.shape != golden.logits.shape:
        return float("inf")
    deviation = np.abs(logits - golden.logits).max()
    return float(deviation / np.abs(golden.logits).max())
