"""One trial: a run of its recipe, a record of what came out, nothing left behind."""

import gc
import math
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from dlgn_keras.tools.files import read_json, write_json
from dlgn_keras.training import Recipe, Result, evaluate, fit
from dlgn_keras.training.devices import forget_compiled
from dlgn_keras.tuning.hypermodel import GatedHyperModel

Record = dict[str, Any]


def record_file(folder: Path, trial_id: str) -> Path:
    """Return where the record of a trial lies."""
    return folder / "trials" / f"{trial_id}.json"


def read_record(folder: Path, trial_id: str) -> Record | None:
    """Return the record of a trial that ended, or None."""
    path = record_file(folder, trial_id)
    return read_json(path) if path.is_file() else None


def run_trial(
    hypermodel: GatedHyperModel,
    hp: keras_tuner.HyperParameters,
    trial_id: str,
    folder: Path,
    objective: str,
) -> Record:
    """Train a trial, or read what came out of it before; write and return its record.

    A stopped trial goes on from its last epoch. One that crashes or diverges
    has a record too, with what it said. The memory it took is given back.

    Args:
        hypermodel: makes the recipe and holds the data.
        hp: the trial's hyperparameters.
        trial_id: its name.
        folder: the search's folder.
        objective: one of `OBJECTIVES`.
    """
    known = read_record(folder, trial_id)
    if known is not None:
        return known
    run, started = folder / "runs" / trial_id, time.time()
    record: Record = {"trial": trial_id, "status": "failed", "score": None}
    try:
        recipe = hypermodel.recipe(hp)
        if "tuner/epochs" in hp.values:  # a rung of Hyperband, trained from scratch
            recipe = recipe.replace(epochs=hp.values["tuner/epochs"])
        record |= {
            "recipe": recipe.to_config(),
            **_train(hypermodel, recipe, run, objective),
        }
    except Exception as error:  # a crash of any kind is an answer
        record["message"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    finally:
        free_memory()
    record |= {"started": started, "ended": time.time()}
    write_json(record_file(folder, trial_id), record)
    shutil.rmtree(run, ignore_errors=True)
    return record


def _train(
    hypermodel: GatedHyperModel, recipe: Recipe, run: Path, objective: str
) -> Record:
    """Return what a run measured on the validation part; it sees no test part."""
    blind = hypermodel.blind()
    result = fit(recipe, run, dataset=blind, progress=False)
    found = _measured(result)
    score = found["validation_accuracy"]
    if objective == "validation_loss" and result.model is not None:
        score = evaluate(result.model, blind.x_test, blind.y_test)["loss"]
        found["validation_loss"] = score
    if not math.isfinite(score):
        raise FloatingPointError(f"{objective} is {score} after the last epoch.")
    return {"status": "finished", "score": score, **found}


def _measured(result: Result) -> Record:
    """Return a blind run's figures by their true name: validation, not test."""
    history = [
        {name.replace("test_", "validation_"): value for name, value in row.items()}
        for row in result.history
    ]
    return {
        "validation_accuracy": result.test_accuracy,
        "parameters": result.parameters,
        "seconds": result.seconds,
        "interruptions": result.interruptions,
        "environment": result.environment,
        "history": history,
    }


def free_memory() -> None:
    """Give back what a model took: Keras' state, compiled programs, the garbage."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()  # which forgets the policy too
    keras.config.set_dtype_policy(policy)
    forget_compiled()
    gc.collect()
