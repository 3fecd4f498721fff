"""search: KerasTuner's algorithms over recipes, from the first trial to the report."""

import contextlib
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from dlgn_keras.tools.files import make_folder, only_one, write_json, write_text
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.training.recipe import from_dict
from dlgn_keras.training.result import data_facts, environment
from dlgn_keras.tuning.board import Board
from dlgn_keras.tuning.folder import claim
from dlgn_keras.tuning.hypermodel import GatedHyperModel
from dlgn_keras.tuning.machines import POLL_SECONDS, Client, check_address, serve
from dlgn_keras.tuning.oracles import Lasting, make_oracle
from dlgn_keras.tuning.plots import draw_best_so_far, draw_parallel
from dlgn_keras.tuning.spaces import check_objective
from dlgn_keras.tuning.state import read_record
from dlgn_keras.tuning.trials import (
    Tuned,
    ranked,
    retrain,
    rows_of,
    run_trial,
    write_csv,
)

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
    trained again. A killed search resumes by the same call; trials that ended stay as
    they are. A trial that crashes or diverges is on record, and the search goes on.
    Memory does not grow with the number of trials.

    The folder then holds trials.csv, best.json (a recipe for `dlgn-keras
    train`), best_so_far.png, parallel.png, result.json and retrained/. Each rung
    of Hyperband is trained from scratch for its number of epochs (half as much
    again as going on would cost), so that its recipe makes its score again.

    On many machines, call it with the same arguments and a folder that all of
    them see: once as the chief, which hands out trials and trains none, and as
    many times as there are machines as a worker.

    Args:
        hypermodel: family, skeleton, space and data.
        out: the search's folder; an unfinished search in it resumes.
        algorithm: random, hyperband, bayesian or grid, all of KerasTuner.
        objective: validation_accuracy or validation_loss.
        trials: most trials; default 30 for random and bayesian without `hours`,
            for the others as many as they need.
        hours: no new trial once the search has run so long, all calls together.
        seed: seed of the search's draws; the recipe's seed is a field of its own.
        retrain_seeds: number of further runs of the best recipe.
        role: alone, chief or worker.
        chief: HOST:PORT of the chief, for chief and workers.
        patience: seconds after which chief and workers give each other up.
        progress: whether to show the best trials.

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
    this = _Search(hypermodel, oracle, folder, objective, board, patience)
    if role == "worker":
        client = Client(oracle, check_address(chief), patience)
        claim(folder, facts, first=False)
        with board, _kept_quiet():
            this.work_for(client)
        return None
    with only_one(folder, "search"):
        claim(folder, facts)
        (folder / "trials").mkdir(exist_ok=True)
        oracle.settle(folder, hours)
        with board, _kept_quiet():
            this.show()
            if role == "chief":
                this.lead(check_address(chief))
            else:
                this.work()
        return this.report(retrain_seeds, progress)


def _budget(algorithm: str, trials: int | None, hours: float | None) -> int | None:
    if hours is not None and not 0 < hours < float("inf"):
        raise ValueError(f"`hours` must be above 0. Received: hours={hours!r}.")
    if trials is not None:
        return check_count("trials", trials)
    endless = algorithm in ("random", "bayesian") and hours is None
    return TRIALS if endless else None


def _kept_quiet() -> contextlib.AbstractContextManager[Any]:
    """Suppress KerasTuner's output while it copies a space."""
    return contextlib.redirect_stdout(io.StringIO())


@dataclass
class _Search:
    hypermodel: GatedHyperModel
    oracle: Lasting
    folder: Path
    objective: str
    board: Board
    patience: float

    def work(self) -> None:
        """Run trials in this process until there are none left."""
        while trial := self._wait_for_trial(self.oracle, "alone"):
            self.show()
            self._run(self.oracle, trial)
            self.follow()

    def work_for(self, client: Client) -> None:
        """Run trials of a chief until there are none left."""
        while trial := self._wait_for_trial(client, client.name):
            self.board.say(f"{client.name}: trial {trial.trial_id} begins")
            with client.heartbeat(client.name, self.patience / 6):
                self._run(client, trial)

    def _wait_for_trial(self, oracle: Lasting | Client, name: str) -> Trial | None:
        while True:
            trial = oracle.create_trial(name)
            if trial.status == TrialStatus.STOPPED:
                return None
            if trial.status != TrialStatus.IDLE:
                return trial
            time.sleep(POLL_SECONDS)

    def _run(self, oracle: Lasting | Client, trial: Trial) -> None:
        record = run_trial(
            self.hypermodel,
            trial.hyperparameters,
            trial.trial_id,
            self.folder,
            self.objective,
        )
        if record["status"] == "finished":
            oracle.update_trial(trial.trial_id, {self.objective: record["score"]})
            trial.status = TrialStatus.COMPLETED
        else:
            trial.status, trial.message = TrialStatus.FAILED, record["message"]
        oracle.end_trial(trial)

    def lead(self, address: str) -> None:
        """Hand out trials to workers, and show the results."""
        self.board.say(f"The chief waits for workers at {address}")
        ended = -1

        def show(lost: list[str]) -> None:
            nonlocal ended
            for name in lost:
                self.board.say(
                    f"{name} is silent for {self.patience:g} s: its trial goes to "
                    "another"
                )
            if len(self.oracle.end_order) != ended:
                ended = len(self.oracle.end_order)
                self.follow()

        serve(self.oracle, address, self.patience, show)

    def show(self) -> None:
        self.board.update(rows_of(self.oracle, self.folder), self.oracle.seconds)

    def follow(self) -> None:
        """Show the trials and write them as a table; give up if all fail."""
        rows = rows_of(self.oracle, self.folder)
        self.board.update(rows, self.oracle.seconds)
        table = self.folder / "trials.csv"
        write_csv(rows, table)
        ended = self.oracle.ended_trials()
        failed = all(trial.status == TrialStatus.FAILED for trial in ended)
        if len(ended) >= HOPELESS and failed:
            raise ValueError(
                f"The first {len(ended)} trials all failed, see {table}; "
                f"the last one: {rows[-1]['message']}"
            )

    def report(self, seeds: int, progress: bool) -> Tuned:
        """Write tables, pictures and the best recipe; retrain that recipe."""
        folder, objective = self.folder, self.objective
        rows, hours = rows_of(self.oracle, folder), self.oracle.seconds / 3600
        finished = ranked(rows, objective)
        if rows:
            write_csv(rows, folder / "trials.csv")
        if not finished:
            last = rows[-1]["message"] if rows else "there was time for none"
            raise ValueError(f"No trial in {folder} came to its end: {last}.")
        record = read_record(folder, finished[0]["trial"])
        if record is None:
            name = finished[0]["trial"]
            raise ValueError(f"{folder} lacks the record of trial {name}.")
        best = from_dict(record["recipe"])
        write_text(folder / "best.json", best.to_json() + "\n")
        draw_best_so_far(rows, objective, folder / "best_so_far.png")
        draw_parallel(rows, objective, folder / "parallel.png")
        found = Tuned(objective, rows, best, finished[0], folder)
        found.retrained = retrain(
            best, self.hypermodel, folder / "retrained", seeds, progress
        )
        result = {**found.summary(), "hours": hours, "environment": environment()}
        write_json(folder / "result.json", result)
        return found
