"""Models as the command line names them: a run folder, a .keras file, a preset."""

from pathlib import Path
from typing import TYPE_CHECKING

import dlgn_keras as dk

if TYPE_CHECKING:
    from dlgn_keras.models import GatedModel

MODEL_HELP = "a run folder, a .keras file, or a preset (see `dlgn-keras zoo list`)"


def load_model(name: str) -> "GatedModel":
    """Return the trained model of a run folder, a .keras file or a preset."""
    if _is_saved(name):
        return dk.training.load_trained(name)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise FileNotFoundError(
            f"No model in {name!r}: neither a finished run (model.keras) nor a preset."
        )
    return dk.from_preset(name)


def data_of(name: str, given: str | None) -> str:
    """Return the data set to use: the given one, or the one of the run."""
    found = _data_of_run(name) if given is None else given
    if found is None:
        raise ValueError(f"`--data` must name a data set for {name!r}. Received: none.")
    return found


def class_names_of(name: str, net: "GatedModel") -> tuple[str, ...] | None:
    """Return the names of a loaded model's classes, where its data set has any."""
    from dlgn_keras.presets.files import read_metadata
    from dlgn_keras.presets.find import find

    if _is_saved(name):
        trained_on = _data_of_run(name)
    else:
        trained_on = read_metadata(find(name)).get("data", {}).get("name")
    if trained_on is None:
        return None
    try:
        names = dk.data.class_names(trained_on)
    except ValueError:  # the user's own set
        return None
    return names if len(names) == net.num_classes else None


def _is_saved(name: str) -> bool:
    return name.endswith(".keras") or (Path(name) / "model.keras").is_file()


def _data_of_run(name: str) -> str | None:
    """Return the data set that a run folder records, if any."""
    if (Path(name) / "result.json").is_file():
        return dk.training.Result.load(name).recipe["data"]
    return None
