"""Save presets: a model as a preset folder, whole or not at all."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from dlgn_keras.presets.files import CONFIG, FORMAT, GOLDEN, METADATA, WEIGHTS, seal
from dlgn_keras.presets.load import CLASSES, build
from dlgn_keras.presets.verify import examples_for, save_golden
from dlgn_keras.presets.weights import load_weights, save_weights
from dlgn_keras.tools.files import expanded
from dlgn_keras.tools.folders import recover, write_folder
from dlgn_keras.version import __version__

# What a preset's metadata say, and what its user chooses.
UNSAVED = ("about", "dtype")


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
        folder: where to write; its last part is the preset's name.
        dtype: "float32", or "float16" for half the size; loads as float32.
        examples: raw inputs, of which 8 become goldens; random ones if None.
        metadata: further facts, ready for json.
        overwrite: whether an older preset there is replaced.

    Raises:
        ValueError: another model, a folder in the way, weights that float16
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
    folder = expanded(folder, "folder")
    recover(folder.parent)
    if folder.exists():
        empty = folder.is_dir() and not any(folder.iterdir())
        if not (empty or (overwrite and (folder / METADATA).is_file())):
            raise ValueError(
                "`folder` must be new or empty, or a preset with overwrite=True. "
                f"Received: folder={str(folder)!r}, overwrite={overwrite}."
            )
    with write_folder(folder) as part:
        (part / CONFIG).write_text(text)
        save_weights(net, part / WEIGHTS, dtype)
        stored = build(part / CONFIG)
        load_weights(stored, part / WEIGHTS)
        inputs = examples_for(net) if examples is None else examples
        save_golden(stored, inputs, part / GOLDEN)
        facts = {
            "format": FORMAT,
            "name": folder.name,
            "family": net.family,
            "skeleton": net.skeleton.name,
            "parameter_count": net.count_params(),
            "weights_dtype": dtype,
            "keras_version": keras.__version__,
            "dlgn_keras_version": __version__,
            "date_saved": datetime.now(UTC).strftime("%Y-%m-%d@%H:%M:%S"),
        }
        if net.about.get("data"):
            facts["data"] = {
                "name": net.about["data"],
                "class_names": list(net.class_names),
                "usual": net.about.get("usual"),
            }
            if net.about.get("loss"):
                facts["data"]["loss"] = net.about["loss"]
        seal(part, {**facts, **(metadata or {})})
    return folder


def config_text(net: Any) -> str:
    """Return the json text from which `load.read_config` makes the model again."""
    name = type(net).__name__
    if CLASSES.get(name) is not type(net):
        raise ValueError(f"`net` must be a {', '.join(CLASSES)}. Received: {name}.")
    config = {
        "module": "dlgn_keras",
        "class_name": name,
        "config": {k: v for k, v in net.get_config().items() if k not in UNSAVED},
        "registered_name": f"dlgn_keras>{name}",
    }
    return json.dumps(config, indent=2) + "\n"
