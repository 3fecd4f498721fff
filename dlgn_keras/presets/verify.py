"""verify: does a preset still give what it says?"""

import os
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data import Dataset
from dlgn_keras.presets.files import GOLDEN, check_files
from dlgn_keras.presets.find import find
from dlgn_keras.presets.golden import TOLERANCE, golden_error, read_golden
from dlgn_keras.presets.load import from_preset

EVALUATION_BATCH = 500


class Verification(NamedTuple):
    """What was checked.

    Fields:
        name: the preset's.
        parameters: number of weights.
        golden_error: largest deviation from the golden logits, over their scale.
        accuracy: on the test set, share; None if it was not asked for.
        stated: the accuracy the metadata give for the stored weights, or None.
    """

    name: str
    parameters: int
    golden_error: float
    accuracy: float | None
    stated: float | None


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
    accuracy = None if dataset is None else _accuracy(net, dataset)
    if dataset is not None and accuracy is not None and stated is not None:
        # Two examples of rounding: logits that all but tie fall either way.
        if abs(accuracy - stated) * len(dataset.y_test) > 2.5:
            raise ValueError(
                f"{name}: test accuracy is {accuracy:.4f}, its metadata say {stated}."
            )
    return Verification(name, net.count_params(), error, accuracy, stated)


def _accuracy(net: Any, dataset: Dataset) -> float:
    if dataset.num_classes != net.num_classes:
        raise ValueError(
            f"`dataset` must have the model's {net.num_classes} classes. "
            f"Received: {dataset.name} with {dataset.num_classes}."
        )
    logits = net.predict(dataset.x_test, batch_size=EVALUATION_BATCH, verbose=0)
    return float(np.mean(logits.argmax(axis=1) == dataset.y_test))
