"""Put runs on the shelf: preset folders, written whole, documented from their runs."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import cards
import records
from manifest import Entry, entries
from runs import accuracy, at_hard_gates

from dlgn_keras.data import Dataset
from dlgn_keras.data.likeness import usual_ranges
from dlgn_keras.presets import from_preset
from dlgn_keras.presets.files import (
    CARD,
    CONFIG,
    METADATA,
    PICTURE,
    RUNS,
    WEIGHTS,
    read_metadata,
    seal,
    sha256,
)
from dlgn_keras.presets.load import build
from dlgn_keras.presets.verify import NUMBER
from dlgn_keras.presets.weights import load_weights
from dlgn_keras.tools.folders import recover, write_folder
from dlgn_keras.training import Recipe, Result

DIRTY = "-dirty"


def seeds_done(folder: Path, clean: bool = False) -> list[int]:
    """Return the seeds a preset folder has records of; `clean`: from a commit."""
    recover(folder.parent)
    if not (folder / METADATA).is_file():
        return []
    return [
        run["seed"]
        for run in records.read_runs(folder)
        if not (clean and run["environment"].get("commit", DIRTY).endswith(DIRTY))
    ]


def put(
    entry: Entry, recipe: Recipe, result: Result, dataset: Dataset, out: Path
) -> Path:
    """Write a finished run into its preset; the first seed's weights are stored."""
    folder = out / entry.name
    runs = records.read_runs(folder) if (folder / METADATA).is_file() else []
    with write_folder(folder) as part:
        if runs and recipe.seed != runs[0]["seed"]:
            shutil.copytree(folder, part, dirs_exist_ok=True)
            metadata = read_metadata(folder)
        else:
            metadata = _store(entry, recipe, result, dataset, part)
        runs = [run for run in runs if run["seed"] != recipe.seed]
        runs = sorted([*runs, records.record(result)], key=lambda run: run["seed"])
        (part / RUNS).write_text(runs_text(runs))
        (part / PICTURE).unlink(missing_ok=True)
        document(part, entry.name, metadata, mean_accuracy(out / entry.twin))
    return folder


def _store(
    entry: Entry, recipe: Recipe, result: Result, dataset: Dataset, part: Path
) -> dict[str, Any]:
    """Write config, weights and goldens into `part`; return the metadata so far."""
    net = result.model
    if net is None:
        raise ValueError(f"The run of {entry.name} has no model to store.")
    net.save_to_preset(
        part,
        dtype="float16",
        examples=dataset.x_test[:NUMBER],
        metadata={"name": entry.name, **records.facts(entry, recipe, dataset)},
    )
    metadata = read_metadata(part)
    stored = accuracy(from_preset(part), dataset)
    hard = hard_accuracy(part, stored, dataset)
    return {**metadata, "results": {"stored_weights": stored, "hard_gates": hard}}


def hard_accuracy(folder: Path, stored: float, dataset: Dataset) -> float:
    """Return the test accuracy of a preset with hard gates in place of its own."""
    net = build(folder / CONFIG)
    if net.gate_mode == "hard":
        return stored
    load_weights(net, folder / WEIGHTS)
    return accuracy(at_hard_gates(net), dataset)


def measure(folder: Path, dataset: Dataset) -> None:
    """Measure a preset of older date anew: what its data look like, hard gates."""
    metadata = read_metadata(folder)
    metadata["data"]["usual"] = usual_ranges(dataset.x_train)
    results = metadata["results"]
    results["hard_gates"] = hard_accuracy(folder, results["stored_weights"], dataset)
    seal(folder, metadata)


def runs_text(runs: list[dict[str, Any]]) -> str:
    """Return runs.json: a line per curve, so that it can be read."""
    text = json.dumps(runs, indent=1)
    lines, joined = text.split("\n"), []
    for line in lines:  # numbers of a curve, deepest in the list, on one line
        deep = line.startswith("    ") and not line.strip().startswith('"')
        if deep and joined:
            joined[-1] += line.strip()
        else:
            joined.append(line)
    return "\n".join(joined) + "\n"


def described(
    folder: Path, metadata: dict[str, Any], twin_mean: float | None
) -> dict[str, Any]:
    """Return the metadata with everything that follows from the runs."""
    runs = records.read_runs(folder)
    twin = f"dnn_{metadata['setting']}"
    stored = metadata["results"]["stored_weights"]
    hard = metadata["results"].get("hard_gates")
    preprocessing = build(folder / CONFIG).preprocessing
    skeleton = entries()[metadata["name"]].fields["skeleton"]
    return {
        **metadata,
        "data": records.known_of_data(metadata["data"], preprocessing),
        "recipe": {**metadata["recipe"], "skeleton": skeleton},
        "results": records.results(runs, stored, hard, twin, twin_mean),
        "training": records.training(runs),
    }


def document(
    folder: Path, name: str, metadata: dict[str, Any], twin_mean: float | None
) -> None:
    """Write card, picture and metadata of a folder that holds the rest."""
    metadata = described(folder, metadata, twin_mean)
    if metadata["results"]["dnn_twin"] == name:
        metadata["results"]["ratio_to_dnn"] = 1.0
    if not (folder / PICTURE).is_file():
        # Where matplotlib is missing, generate.py draws it later, elsewhere.
        with contextlib.suppress(ImportError):
            cards.draw(records.read_runs(folder), name, folder / PICTURE)
    drawn = (folder / PICTURE).is_file()
    (folder / CARD).write_text(cards.card(name, metadata, drawn))
    seal(folder, metadata)


def mean_accuracy(folder: Path) -> float | None:
    """Return the mean accuracy of a preset, None if it is not there."""
    if not (folder / METADATA).is_file():
        return None
    return read_metadata(folder)["results"]["mean"]


def refresh(out: Path) -> list[str]:
    """Document every preset anew where its own or its twin's figures moved."""
    changed = []
    recover(out)
    for path in sorted(out.glob(f"*/{METADATA}")):
        folder, metadata = path.parent, read_metadata(path.parent)
        before = sha256(path)
        with write_folder(folder) as part:
            shutil.copytree(folder, part, dirs_exist_ok=True)
            twin = out / metadata["results"]["dnn_twin"]
            document(part, folder.name, metadata, mean_accuracy(twin))
        if sha256(path) != before:
            changed.append(folder.name)
    return changed
