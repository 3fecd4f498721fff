"""Read the files of a search and check every field."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_tuner.engine.trial import TrialStatus

from dlgn_keras.tools.fields import check_fields
from dlgn_keras.tools.files import read_json
from dlgn_keras.training.recipe import from_dict

FINISHED = {
    "score": float,
    "recipe": dict,
    "validation_accuracy": float,
    "parameters": int,
    "seconds": float,
    "ended": float,
}
FAILED = {"message": str, "ended": float}
STATUS = {
    TrialStatus.COMPLETED: "finished",
    TrialStatus.FAILED: "failed",
    TrialStatus.RUNNING: "running",
    TrialStatus.INVALID: "interrupted",
}
TRIAL = {
    "trial_id": str,
    "status": str,
    "score": float | None,
    "best_step": int | None,
    "message": str | None,
    "metrics": dict,
    "hyperparameters": {
        "space": list[dict],
        "values": dict[str, str | float | bool],
    },
}
ORACLE = {
    "seconds": float,
    "deaths": dict[str, int],
    "retry_queue": list[str],
    "start_order": list[str],
    "end_order": list[str],
    "ongoing_trials": dict[str, str],
    "hyperparameters": TRIAL["hyperparameters"],
    "run_times": dict[str, int],
    "seed": int,
    "seed_state": int,
    "tried_so_far": list[str],
    "id_to_hash": dict[str, str | None],
    "display": dict,
}


def read_record(folder: Path, trial_id: str) -> dict[str, Any] | None:
    """Return the record of a trial that ended, or None.

    Raises:
        ValueError: a damaged record.
    """
    path = folder / "trials" / f"{trial_id}.json"
    if not path.is_file():
        return None
    record, remedy = read_json(path), "Remove it to run the trial again."
    _check(path, record, {"trial": str, "status": str}, remedy)
    finished = record["status"] == "finished"
    if not finished and record["status"] != "failed":
        raise ValueError(f"{path} is damaged: neither finished nor failed. {remedy}")
    _check(path, record, FINISHED if finished else FAILED, remedy)
    if finished:
        try:
            from_dict(record["recipe"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error} {remedy}") from None
    return record


def read_state(
    path: Path, fresh: dict[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the state of an oracle and of its trials, which fit together.

    Args:
        path: the file.
        fresh: the state of such an oracle before its first trial.

    Raises:
        ValueError: a damaged file.
    """
    stored, remedy = read_json(path), "Remove it and the folder's trials to start anew."
    more = {k: type(v) for k, v in fresh.items() if k not in ORACLE}
    kinds = {"state": {**ORACLE, **more}, "trials": list[dict]}
    _check(path, stored, kinds, remedy)
    state, known = stored["state"], set()
    for trial in stored["trials"]:
        _check(path, trial, TRIAL, remedy)
        if trial["status"] not in STATUS:
            raise ValueError(f"{path} is damaged: status {trial['status']!r}. {remedy}")
        if trial["status"] == TrialStatus.COMPLETED:
            _check(path, trial, {"score": float}, remedy)
        known.add(trial["trial_id"])
    named = [
        *state["retry_queue"],
        *state["start_order"],
        *state["end_order"],
        *state["ongoing_trials"].values(),
        *_hyperbands(path, state, fresh, remedy),
    ]
    lost = [name for name in named if name not in known]
    if lost:
        raise ValueError(f"{path} is damaged: it lacks trial {lost[0]!r}. {remedy}")
    return state, stored["trials"]


def _hyperbands(
    path: Path, state: dict[str, Any], fresh: dict[str, Any], remedy: str
) -> list[Any]:
    """Check Hyperband's brackets; return the trials in them."""
    if "brackets" not in fresh:
        return []
    top = fresh["current_bracket"]
    _check(path, state, {"brackets": list[dict]}, remedy)
    for bracket in state["brackets"]:
        kinds = {"bracket_num": int, "rounds": list[list[dict]]}
        _check(path, bracket, kinds, remedy)
    numbers = [bracket["bracket_num"] for bracket in state["brackets"]]
    same = ("hyperband_iterations", "max_epochs", "min_epochs", "factor")
    if not all(0 <= number <= top for number in [*numbers, state["current_bracket"]]):
        raise ValueError(f"{path} is damaged: brackets are 0 to {top}. {remedy}")
    for name in same:
        if state[name] != fresh[name]:
            raise ValueError(f"{path} is damaged: {name} is {fresh[name]}. {remedy}")
    rounds = [one for bracket in state["brackets"] for one in bracket["rounds"]]
    return [run.get("id") for runs in rounds for run in runs]


def _check(path: Path, value: Any, wanted: dict[str, Any], remedy: str) -> None:
    """Raise a ValueError unless all fields are there, of their types."""
    try:
        check_fields(path, value, wanted)
        lacking = list(_lacking(value, wanted))
        if lacking:
            raise ValueError(f"{path}: it lacks {', '.join(lacking)}.")
    except ValueError as error:
        text = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path} is damaged: {text} {remedy}") from None


def _lacking(value: dict[str, Any], wanted: dict[str, Any]) -> Iterable[str]:
    for name, kind in wanted.items():
        if name not in value:
            yield name
        elif isinstance(kind, dict):
            yield from _lacking(value[name], kind)
