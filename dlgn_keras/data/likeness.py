"""Compare inputs with a training set by their pixel statistics.

Each image has three statistics, in raw units: its mean, its standard deviation, and
its roughness, the mean absolute difference of neighbouring entries. For each statistic,
a training set has an interval that excludes one in a thousand of its images on each
side; an image outside an interval is unlike the training set. An image inside all
intervals may still be unlike it: the statistics detect inverted, empty and noisy
images, but not unknown objects.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TAIL = 0.001
CHUNK = 2000


def statistics(x: Any) -> dict[str, np.ndarray]:
    """Return {"mean", "deviation", "roughness"}: (n,) numbers of inputs (n, ...).

    Rows of a table, (n, features), have no neighbours and no roughness.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras.data.likeness import statistics
        >>> board = np.indices((4, 4)).sum(0)[None, ..., None] % 2
        >>> {name: float(v[0]) for name, v in statistics(board).items()}
        {'mean': 0.5, 'deviation': 0.5, 'roughness': 1.0}
    """
    x = np.asarray(x)
    parts = [_of(x[k : k + CHUNK].astype("float32")) for k in range(0, len(x), CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of(x: np.ndarray) -> dict[str, np.ndarray]:
    rest = tuple(range(1, x.ndim))
    found = {"mean": x.mean(axis=rest), "deviation": x.std(axis=rest)}
    axes = [axis for axis in rest[:-1] if x.shape[axis] > 1]
    if axes:
        steps = [np.abs(np.diff(x, axis=axis)) for axis in axes]
        found["roughness"] = np.mean([step.mean(axis=rest) for step in steps], axis=0)
    return found


def usual_ranges(x: Any) -> dict[str, list[float]]:
    """Return {statistic: [low, high]}, intervals that hold 998 of 1,000 inputs."""
    return {
        name: [float(f"{end:.5g}") for end in np.quantile(values, (TAIL, 1 - TAIL))]
        for name, values in statistics(x).items()
    }


def cautions(x: Any, usual: Mapping[str, Sequence[float]]) -> list[str]:
    """Return one line per input: how it is unlike the training set, "" if it is not.

    Args:
        x: raw inputs (n, ...).
        usual: the result of `usual_ranges` for the training inputs.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras.data.likeness import cautions
        >>> cautions(np.full((1, 2, 2, 1), 9.0), {"mean": (1, 5), "deviation": (0, 2)})
        ['unlike the training data: mean 9, usually 1 to 5']
    """
    lines = [""] * len(x)
    for name, values in statistics(x).items():
        low, high = usual.get(name, (-np.inf, np.inf))
        for k in np.flatnonzero((values < low) | (values > high)):
            start = f"{lines[k]}; " if lines[k] else "unlike the training data: "
            lines[k] = f"{start}{name} {values[k]:.3g}, usually {low:.3g} to {high:.3g}"
    return lines
