"""From runs to a preset's metadata: what was measured, over which seeds."""

import statistics
from pathlib import Path
from typing import Any

from manifest import Entry

from dlgn_keras.data import Dataset, class_names
from dlgn_keras.data.likeness import usual_ranges
from dlgn_keras.presets.files import RUNS
from dlgn_keras.tools.files import read_json
from dlgn_keras.training import Recipe, Result

CURVES = ("epoch", "loss", "accuracy", "test_accuracy")
DERIVED = ("value_range", "class_names", "terms", "usual")
FAMILY_TEXT = {
    "dnn": "A ReLU network (DNN)",
    "dgn": "A deep gated network (DGN), gating and value network trained together",
    "dgn_flnpf": "A deep gated network (DGN) with the frozen gates of the trained DNN",
    "dgn_frnpf": "A deep gated network (DGN) with frozen random gates",
    "dlgn": "A deep linearly gated network (DLGN)",
    "dlgn_sf": "A DLGN with shallow gating (DLGN-SF): every gate straight from the "
    "input",
}


def record(result: Result) -> dict[str, Any]:
    """Return what runs.json keeps of a run."""
    curves = {name: [round(row[name], 5) for row in result.history] for name in CURVES}
    return {
        "seed": result.recipe["seed"],
        "test_accuracy": result.test_accuracy,
        "best_test_accuracy": result.best_test_accuracy,
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
        "seconds_per_epoch": result.seconds_per_epoch,
        "interruptions": result.interruptions,
        "environment": result.environment,
        "curves": curves,
    }


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a preset folder, lowest seed first; none if new."""
    path = folder / RUNS
    return read_json(path) if path.is_file() else []


def results(
    runs: list[dict[str, Any]],
    stored: float,
    hard: float | None,
    twin: str,
    twin_mean: float | None,
) -> dict[str, Any]:
    """Return the headline: accuracy at the last epoch, over seeds, beside the DNN.

    Args:
        runs: records; the preset's weights are the first one's.
        stored: test accuracy of the weights as stored.
        hard: the same with hard gates, None if it was not measured.
        twin: name of the DNN of the same setting.
        twin_mean: its mean accuracy, or None if it is not built yet.
    """
    accuracies = [run["test_accuracy"] for run in runs]
    mean = statistics.fmean(accuracies)
    several = len(accuracies) > 1
    return {
        "measure": "test accuracy after the last epoch, share",
        "seeds": [run["seed"] for run in runs],
        "test_accuracy": accuracies,
        "mean": round(mean, 6),
        "std": round(statistics.stdev(accuracies), 6) if several else None,
        "stored_weights": round(stored, 6),
        "hard_gates": None if hard is None else round(hard, 6),
        "dnn_twin": twin,
        "ratio_to_dnn": round(mean / twin_mean, 6) if twin_mean else None,
    }


def description(entry: Entry) -> str:
    """Return one sentence that says what the preset is."""
    skeleton, _, data = entry.setting.rpartition("_")
    ones = "; the value network sees all ones" if entry.name.endswith("_ones") else ""
    return f"{FAMILY_TEXT[entry.variant]}{ones}, on the skeleton {skeleton}, {data}."


def facts(entry: Entry, recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Return what the metadata say beside figures."""
    config = recipe.to_config()
    if entry.gates_from:  # the run folder is nobody else's concern
        config["gates_from"] = entry.gates_from
    limits = dataset.preprocessing.raw_range
    return {
        "description": description(entry),
        "setting": entry.setting,
        "data": {
            "name": dataset.name,
            "train": len(dataset.y_train),
            "test": len(dataset.y_test),
            "input_shape": list(dataset.input_shape),
            "raw_range": None if limits is None else list(limits),
            "usual": usual_ranges(dataset.x_train),
            "terms": dataset.terms,
        },
        "recipe": config,
        "command": f"python zoo/build.py {entry.name}",
        "licence": "Apache-2.0 (weights); the data's own terms are above",
    }


def known_of_data(data: dict[str, Any], preprocessing: Any) -> dict[str, Any]:
    """Return a data set's facts with class names and the range the network sees.

    Args:
        data: name, raw_range and what else is known.
        preprocessing: the model's map from raw to network inputs.
    """
    found = {k: v for k, v in data.items() if k not in DERIVED}
    values = None
    if data["raw_range"] is not None:
        channels = data["input_shape"][-1]
        ends = preprocessing.apply([[end] * channels for end in data["raw_range"]])
        values = [round(float(ends.min()), 6), round(float(ends.max()), 6)]
    return {
        **found,
        "value_range": values,
        "class_names": list(class_names(data["name"])),
        "usual": data.get("usual"),
        "terms": data["terms"],
    }


def training(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return on what and how long the runs took."""
    return {
        "environment": runs[0]["environment"],
        "seconds": [run["seconds"] for run in runs],
        "seconds_per_epoch": [run["seconds_per_epoch"] for run in runs],
    }
