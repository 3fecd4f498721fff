"""Checkpoints: everything a run needs to go on, in one file, whole or not at all."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dlgn_keras.tools.fields import check_fields
from dlgn_keras.tools.files import write_atomically
from dlgn_keras.training.step import fixed_variables

FORMAT = 2


def state_variables(trainer: keras.Model) -> list[Any]:
    """Return weights, batch-norm averages, random seeds and optimizer state."""
    left = {id(v) for v in [*fixed_variables(trainer), *trainer.metrics_variables]}
    kept = [v for v in trainer.variables if id(v) not in left]
    return kept + list(trainer.optimizer.variables)


def save(path: Path, trainer: keras.Model, meta: dict[str, Any]) -> None:
    """Write the state of a run.

    Args:
        path: the .npz file to replace.
        trainer: a built and compiled trainer.
        meta: json-able facts: the recipe's fingerprint, the epoch, the history.
    """
    variables = state_variables(trainer)
    arrays: dict[str, Any] = {
        f"v{k:05d}": np.asarray(keras.ops.convert_to_numpy(v.value))
        for k, v in enumerate(variables)
    }
    facts = {**meta, "format": FORMAT, "paths": [v.path for v in variables]}
    text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    write_atomically(path, lambda part: np.savez(part, meta=text, **arrays))


def read(path: Path, run: dict[str, Any]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return (meta, arrays) of a checkpoint of this run.

    Args:
        path: the .npz file.
        run: facts that the checkpoint must share: the recipe's fingerprint, the
            backend, the data's checksum.

    Raises:
        ValueError: a torn or damaged file, or one of another run.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            facts = json.loads(stored["meta"].tobytes())
            check_facts(facts)
            arrays = [stored[f"v{k:05d}"] for k in range(len(facts["paths"]))]
    except Exception as error:  # damage shows as anything: zip, json, NumPy, memory
        raise ValueError(
            f"{path} is no whole checkpoint ({type(error).__name__}). "
            "Remove it to start the run again."
        ) from None
    for fact, ours in {**run, "format": FORMAT}.items():
        if facts.get(fact) != ours:
            raise ValueError(
                f"{path} belongs to another run: its {fact} is {facts.get(fact)!r}, "
                f"here it is {ours!r}. Choose another folder, or remove it."
            )
    return facts, arrays


def check_facts(facts: Any) -> None:
    """Raise an error where a field that `Run` uses is missing or odd."""
    wanted = {"history": list[dict[str, float]], "interruptions": int}
    check_fields("meta", facts, wanted | {"paths": list[str]})
    for row in facts["history"]:
        if type(row["epoch"]) is not int or not {"loss", "total_seconds"} <= row.keys():
            raise ValueError(f"history has an odd row {row!r}")
    epochs = [0, *(row["epoch"] for row in facts["history"])]
    if epochs != sorted(set(epochs)) or facts["interruptions"] < 0:
        raise ValueError("epochs out of order")
    if any(row.keys() != facts["history"][0].keys() for row in facts["history"]):
        raise ValueError("history has rows of several kinds")


def restore(trainer: keras.Model, facts: dict, arrays: list, path: Path) -> None:
    """Put the arrays of a checkpoint into a trainer of the same make.

    Raises:
        ValueError: variables that differ in number, shape or dtype.
    """
    variables = state_variables(trainer)
    ours = [
        (tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in variables
    ]
    if ours != [(a.shape, a.dtype.name) for a in arrays]:
        raise ValueError(
            f"{path} holds {len(arrays)} variables that do not fit the "
            f"{len(variables)} of this model. Remove it to start again."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
