"""Models as the command line names them: a run folder, a .keras file, a preset."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dlgn_keras as dk
from dlgn_keras.cli.options import data_options
from dlgn_keras.data import NAMES, Dataset
from dlgn_keras.data.names import TFDS
from dlgn_keras.data.scores import loss_of, targets_of

if TYPE_CHECKING:
    from dlgn_keras.interpret.contributions import Model

MODEL_HELP = "a run folder, a .keras file, or a preset (see `dlgn-keras zoo list`)"


def load_model(name: str) -> "Model":
    """Return the model of a run folder, a .keras file or a preset.

    Another functional Keras model is taken apart, which a line on standard error says.
    """
    from dlgn_keras.training.building import load_keras

    if _is_saved(name):
        net = load_keras(name)
        if not isinstance(getattr(net, "input_shape", ()), tuple):
            raise ValueError(f"{name} must take one input. Received: several.")
        if isinstance(net, dk.models.BaseModel):
            return net  # pyright: ignore[reportReturnType]
        print(f"{name}: a Keras model, read as its exact gated twin.", file=sys.stderr)
        return dk.disentangle(net)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise FileNotFoundError(
            f"No model in {name!r}: neither a finished run (model.keras) nor a preset."
        )
    return dk.from_preset(name)


def data_of(name: str, given: str | None) -> str:
    """Return the data set to use: the given one, or the one it was trained on."""
    found = _trained_on(name) if given is None else given
    if not found:
        raise ValueError(f"`--data` must name a data set for {name!r}. Received: none.")
    return found


def data_for(net: "Model", name: str, arguments: argparse.Namespace) -> Dataset:
    """Return a data set; pictures of any size get the size that the model takes."""
    shape = net.input_shape[1:]
    sized = name.startswith(TFDS) or Path(name).is_dir()
    size = shape[:2] if sized and name not in NAMES and len(shape) == 3 else None
    options = {"image_size": size, "targets": targets_of(loss_of(net))}
    return dk.data.load(name, **options, **data_options(arguments))


def _is_saved(name: str) -> bool:
    return name.endswith(".keras") or (Path(name) / "model.keras").is_file()


def _trained_on(name: str) -> str | None:
    """Return the data set that a run folder or a preset records, if any."""
    from dlgn_keras.presets.files import read_metadata
    from dlgn_keras.presets.find import find

    if (Path(name) / "result.json").is_file():
        return dk.training.Result.load(name).recipe["data"]
    if _is_saved(name):
        return None
    metadata = read_metadata(find(name))
    recipe = metadata.get("recipe", {})  # knows the path of an .npz or a folder
    return recipe.get("data") or metadata.get("data", {}).get("name")
