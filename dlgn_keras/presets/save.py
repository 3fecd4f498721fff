"""save_to_preset: a model as a preset folder, whole or not at all."""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from dlgn_keras.presets.config import build, config_text
from dlgn_keras.presets.files import (
    CONFIG,
    FORMAT,
    GOLDEN,
    METADATA,
    WEIGHTS,
    part_folder,
    publish,
    seal,
)
from dlgn_keras.presets.golden import examples_for, save_golden
from dlgn_keras.presets.weights import load_weights, save_weights
from dlgn_keras.version import __version__


def save_to_preset(
    net: Any,
    folder: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    examples: Any = None,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model as a preset folder and return the folder.

    The folder holds config.json, model.weights.h5, golden.npz and metadata.json,
    as `from_preset` reads them. The golden logits are those of the weights as
    stored, read back into a fresh model.

    Args:
        net: a DNN, DGN or DLGN.
        folder: where to; its last part is the preset's name.
        dtype: "float32", or "float16" for half the size; loads as float32.
        examples: raw inputs, of which 8 become goldens; random ones if None.
        metadata: further facts, ready for json.
        overwrite: whether an older preset there is replaced.

    Raises:
        ValueError: not a model of ours, a folder in the way, weights that float16
            cannot hold.

    Example:
        >>> import tempfile, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 8), (5,), num_classes=2)
        >>> folder = net.save_to_preset(tempfile.mkdtemp() + "/mine")
        >>> sorted(path.name for path in folder.iterdir())
        ['config.json', 'golden.npz', 'metadata.json', 'model.weights.h5']
    """
    text = config_text(net)
    if net.quantized:
        raise ValueError(
            "`net` must not be quantised: a preset keeps float numbers. "
            f"Received: {net.name!r} in int8."
        )
    folder = Path(folder).expanduser()
    in_the_way = folder.exists() and not (folder.is_dir() and _may_go(folder))
    if in_the_way or (folder.exists() and any(folder.iterdir()) and not overwrite):
        raise ValueError(
            "`folder` must be new or empty, or a preset with overwrite=True. "
            f"Received: folder={str(folder)!r}, overwrite={overwrite}."
        )
    part = part_folder(folder)
    try:
        (part / CONFIG).write_text(text)
        save_weights(net, part / WEIGHTS, dtype)
        stored = build(part / CONFIG)
        load_weights(stored, part / WEIGHTS)
        inputs = examples_for(net) if examples is None else examples
        save_golden(stored, inputs, part / GOLDEN)
        facts = {"format": FORMAT, "name": folder.name, **facts_of(net, dtype)}
        seal(part, {**facts, **(metadata or {})})
        publish(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _may_go(folder: Path) -> bool:
    """Return whether nothing but a preset is lost with this folder."""
    return (folder / METADATA).is_file() or not any(folder.iterdir())


def facts_of(net: Any, dtype: str) -> dict[str, Any]:
    """Return what the metadata say of any model."""
    return {
        "family": net.family,
        "skeleton": net.skeleton.name,
        "parameter_count": net.count_params(),
        "weights_dtype": dtype,
        "keras_version": keras.__version__,
        "dlgn_keras_version": __version__,
        "date_saved": datetime.now(UTC).strftime("%Y-%m-%d@%H:%M:%S"),
    }
