"""search: KerasTuner's algorithms over recipes, from the first trial to the report."""

import contextlib
import io
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from dlgn_keras.tools.files import make_folder, write_json, write_text
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.training.recipe import from_dict
from dlgn_keras.training.result import data_facts, environment
from dlgn_keras.tuning.board import Board
from dlgn_keras.tuning.folder import claim, only_one
from dlgn_keras.tuning.hypermodel import GatedHyperModel
from dlgn_keras.tuning.machines import (
    POLL_SECONDS,
    Client,
    check_address,
    serve,
    worker_name,
)
from dlgn_keras.tuning.objectives import check_objective
from dlgn_keras.tuning.oracles import Lasting, make_oracle
from dlgn_keras.tuning.plots import draw_best_so_far, draw_parallel
from dlgn_keras.tuning.results import Tuned, ranked, retrain, rows_of, write_csv
from dlgn_keras.tuning.trials import read_record, run_trial

ROLES = ("alone", "chief", "worker")
TRIALS = 30
HOPELESS = 10


def search(
    hypermodel: GatedHyperModel,
    out: str | Path,
    *,
    algorithm: str = "random",
    objective: str = "validation_accuracy",
    trials: int | None = None,
    hours: float | None = None,
    seed: int = 0,
    retrain_seeds: int = 3,
    role: str = "alone",
    chief: str | None = None,
    patience: float = 60.0,
    progress: bool = True,
) -> Tuned | None:
    """Search for the best recipe, then train it again with other seeds.

    Every trial is a run of `dk.training.fit`, scored on the validation part after
    its last epoch; the test part is measured once, when the best recipe is
    trained again. Kill it at any moment: the same call goes on, trials that
    ended stay as they are. A trial that crashes or diverges is on record, and
    the search goes on. Memory does not grow with the number of trials.

    The folder then holds trials.csv, best.json (a recipe for `dlgn-keras
    train`), best_so_far.png, parallel.png, result.json and retrained/. Each rung
    of Hyperband is trained from scratch for its number of epochs (half as much
    again as going on would cost), so that its recipe makes its score again.

    On many machines, call it with the same arguments and a folder that all of
    them see: once as the chief, which hands out trials and trains none, and as
    many times as there are machines as a worker.

    Args:
        hypermodel: what is searched, on which data.
        out: the search's folder; goes on with what is there.
        algorithm: random, hyperband, bayesian or grid, all of KerasTuner.
        objective: validation_accuracy or validation_loss.
        trials: most trials; default 30 for random and bayesian without `hours`,
            for the others as many as they need.
        hours: no new trial once the search has run so long, all calls together.
        seed: of the search's own draws; the recipe's seed is a field of its own.
        retrain_seeds: how many times the best recipe is trained again.
        role: alone, chief or worker.
        chief: HOST:PORT of the chief, for chief and workers.
        patience: seconds after which chief and workers give each other up.
        progress: whether to show the best trials while it goes on.

    Returns:
        Tuned; None for a worker.

    Raises:
        ValueError: an argument out of range, a folder of another search, or ten
            trials that all failed.
        OSError: a port in use, or a chief that does not answer.

    Example:
        >>> from dlgn_keras import tuning
        >>> model = tuning.GatedHyperModel(
        ...     "dlgn", "fc:depth=1,width=8", space={"beta": [1.0, 10.0]},
        ...     epochs=1, num_train=100)
        >>> found = tuning.search(
        ...     model, "tuned", algorithm="grid", retrain_seeds=0, progress=False)
        >>> len(found.rows), found.best.beta in (1.0, 10.0)
        (2, True)
    """
    check_objective(objective)
    check_choice("role", role, ROLES)
    trials = _budget(algorithm, trials, hours)
    if retrain_seeds:
        check_count("retrain_seeds", retrain_seeds)
    if not patience > 0:
        raise ValueError(
            f"`patience` must be above 0. Received: patience={patience!r}."
        )
    hp = keras_tuner.HyperParameters()
    epochs = hypermodel.recipe(hp).epochs
    if algorithm == "hyperband" and "epochs" in hp.values:
        raise ValueError(
            "`algorithm` hyperband chooses the epochs itself: take `epochs` out of the "
            "space. Received: algorithm='hyperband'."
        )
    oracle = make_oracle(
        algorithm, objective, hp, trials=trials, seed=seed, epochs=epochs
    )
    folder = make_folder(out)
    facts = {
        "algorithm": algorithm,
        "objective": objective,
        "seed": seed,
        "backend": keras.backend.backend(),
        "data": data_facts(hypermodel.dataset),
        **hypermodel.facts(),
    }
    base = hypermodel.base
    title = f"{base.family} {base.skeleton.name} on {base.data}, {algorithm}"
    board = Board(title, objective, trials, hours, progress)
    if role == "worker":
        address = check_address(chief)
        client = Client(oracle, address, patience)
        claim(folder, facts, first=False)
        with board, _kept_quiet():
            _work(hypermodel, client, worker_name(), folder, objective, board, patience)
        return None
    with only_one(folder):
        claim(folder, facts)
        (folder / "trials").mkdir(exist_ok=True)
        oracle.settle(folder, hours)
        with board, _kept_quiet():
            board.update(rows_of(oracle, folder), oracle.seconds)
            if role == "chief":
                _lead(oracle, check_address(chief), folder, board, patience)
            else:
                _work(hypermodel, oracle, "alone", folder, objective, board, patience)
        return _report(hypermodel, oracle, folder, objective, retrain_seeds, progress)


def _budget(algorithm: str, trials: int | None, hours: float | None) -> int | None:
    if hours is not None and not 0 < hours < float("inf"):
        raise ValueError(f"`hours` must be above 0. Received: hours={hours!r}.")
    if trials is not None:
        return check_count("trials", trials)
    endless = algorithm in ("random", "bayesian") and hours is None
    return TRIALS if endless else None


def _kept_quiet() -> AbstractContextManager[Any]:
    """Keep off the terminal what KerasTuner prints while it copies a space."""
    return contextlib.redirect_stdout(io.StringIO())


def _work(
    hypermodel: GatedHyperModel,
    oracle: Lasting | Client,
    name: str,
    folder: Path,
    objective: str,
    board: Board,
    patience: float,
) -> None:
    """Run trials until there are none left."""
    while True:
        trial = oracle.create_trial(name)
        if trial.status == TrialStatus.STOPPED:
            return
        if trial.status == TrialStatus.IDLE:
            time.sleep(POLL_SECONDS)
            continue
        beat: AbstractContextManager[Any] = nullcontext()
        if isinstance(oracle, Client):
            board.say(f"{name}: trial {trial.trial_id} begins")
            beat = oracle.heartbeat(name, patience / 6)
        else:
            board.update(rows_of(oracle, folder), oracle.seconds)
        with beat:
            record = run_trial(
                hypermodel, trial.hyperparameters, trial.trial_id, folder, objective
            )
        _end(oracle, trial, record, objective)
        if isinstance(oracle, Lasting):
            _follow(oracle, folder, board)


def _end(
    oracle: Lasting | Client, trial: Trial, record: dict[str, Any], objective: str
) -> None:
    if record["status"] == "finished":
        oracle.update_trial(trial.trial_id, {objective: record["score"]})
        trial.status = TrialStatus.COMPLETED
    else:
        trial.status, trial.message = TrialStatus.FAILED, record["message"]
    oracle.end_trial(trial)


def _lead(
    oracle: Lasting, address: str, folder: Path, board: Board, patience: float
) -> None:
    """Hand out trials, and show what comes back."""
    board.say(f"The chief waits for workers at {address}")
    ended = -1

    def show(lost: list[str]) -> None:
        nonlocal ended
        for name in lost:
            board.say(f"{name} is silent for {patience:g} s: its trial goes to another")
        if len(oracle.end_order) != ended:
            ended = len(oracle.end_order)
            _follow(oracle, folder, board)

    serve(oracle, address, patience, show)


def _follow(oracle: Lasting, folder: Path, board: Board) -> None:
    """Show the trials and keep them as a table; give up where nothing works."""
    rows = rows_of(oracle, folder)
    board.update(rows, oracle.seconds)
    write_csv(rows, folder / "trials.csv")
    ended = oracle.ended_trials()
    if len(ended) >= HOPELESS and all(t.status == TrialStatus.FAILED for t in ended):
        raise ValueError(
            f"The first {len(ended)} trials all failed, see {folder / 'trials.csv'}; "
            f"the last one: {rows[-1]['message']}"
        )


def _report(
    hypermodel: GatedHyperModel,
    oracle: Lasting,
    folder: Path,
    objective: str,
    seeds: int,
    progress: bool,
) -> Tuned:
    """Write tables, pictures and the best recipe; train that again."""
    rows, hours = rows_of(oracle, folder), oracle.seconds / 3600
    finished = ranked(rows, objective)
    if rows:
        write_csv(rows, folder / "trials.csv")
    if not finished:
        last = rows[-1]["message"] if rows else "there was time for none"
        raise ValueError(f"No trial in {folder} came to its end: {last}.")
    record = read_record(folder, finished[0]["trial"])
    if record is None:
        raise ValueError(f"{folder} lacks the record of trial {finished[0]['trial']}.")
    best = from_dict(record["recipe"])
    write_text(folder / "best.json", best.to_json() + "\n")
    draw_best_so_far(rows, objective, folder / "best_so_far.png")
    draw_parallel(rows, objective, folder / "parallel.png")
    found = Tuned(objective, rows, best, finished[0], folder)
    found.retrained = retrain(best, hypermodel, folder / "retrained", seeds, progress)
    write_json(
        folder / "result.json",
        {
            **found.summary(),
            "hours": hours,
            "environment": environment(),
        },
    )
    return found
