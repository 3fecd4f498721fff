"""KerasTuner's oracles with one state file, always written atomically.

KerasTuner writes one file per trial and one of its own, in place, one after the other:
a process killed between or inside the writes loses or repeats trials. Here state and
trials are one file, replaced atomically.

Private members of KerasTuner are used in this file alone, tested with 1.4.7 and 1.4.8:

- `Oracle._save_trial` is overridden: it writes the file per trial, and no public
  option turns it off.
- `keras_tuner.src.protos`, `OracleServicer` and `OracleClient` are the protocol of
  chief and workers. The public way to them, a Tuner under environment variables, waits
  an hour for an answer and lets two chiefs share a port.
"""

import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import protos as protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer as OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient as OracleClient

from dlgn_keras.tools.files import write_json
from dlgn_keras.tools.messages import check_choice
from dlgn_keras.tuning.spaces import OBJECTIVES
from dlgn_keras.tuning.state import read_state

MOST_DEATHS = 5  # a trial that ended so many processes is not tried again
STATE = "oracle.json"


class Lasting(keras_tuner.Oracle):
    """An oracle that can resume in another process.

    A trial whose process died is given out again; the first end of a trial counts. A
    budget of hours counts the time of all sessions together. With many machines, the
    trial of a silent worker goes to another, and no worker is sent home while a trial
    runs that may come back.
    """

    def settle(self, folder: Path, hours: float | None) -> None:
        """Keep the state in a folder, and resume from a state found there."""
        self.folder, self.hours = folder, hours
        self.verbose = 0  # the board shows what happens
        self._guard = threading.RLock()
        self._spent, self._started = 0.0, time.monotonic()
        self._left: list[str] = []  # trials whose process died
        self._deaths: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        self._exhausted = False
        self.figures: dict[str, dict[str, Any]] = {}  # of the records that were read
        if (folder / STATE).is_file():
            self.reload()

    @property
    def seconds(self) -> float:
        """Running time of this search over all its sessions."""
        return self._spent + time.monotonic() - self._started

    @property
    def time_is_up(self) -> bool:
        return self.hours is not None and self.seconds >= 3600 * self.hours

    @property
    def is_over(self) -> bool:
        """Whether no trial is running or to come, and every worker knows it."""
        with self._guard:
            full = bool(self.max_trials) and len(self.trials) >= self.max_trials
            last = full or self._exhausted or self.time_is_up
            waiting = bool(self._left) and not self.time_is_up
            return last and not (waiting or self.ongoing_trials or self.tuner_ids)

    def ended_trials(self) -> list[Trial]:
        """Return the trials that ended, in the order of their ends."""
        with self._guard:
            return [self.trials[trial_id] for trial_id in self.end_order]

    def create_trial(self, tuner_id: str) -> Trial:
        """Return the trial that `tuner_id` is to run, or is running."""
        with self._guard:
            self._heard[tuner_id] = time.monotonic()
            if tuner_id in self.ongoing_trials:
                return self.ongoing_trials[tuner_id]
            if self.time_is_up:
                self.tuner_ids.discard(tuner_id)
                return self._no_trial(TrialStatus.STOPPED)
            if self._left:
                trial = self.trials[self._left.pop()]
                trial.status = TrialStatus.RUNNING
                self.tuner_ids.add(tuner_id)
                self.ongoing_trials[tuner_id] = trial
                self.save()
                return trial
            trial = super().create_trial(tuner_id)
            if trial.status == TrialStatus.STOPPED:
                if self.ongoing_trials:  # a worker must stay in case theirs die
                    self.tuner_ids.add(tuner_id)
                    return self._no_trial(TrialStatus.IDLE)
                self._exhausted = True
            return trial

    def _no_trial(self, status: str) -> Trial:
        return Trial(self.get_space(), trial_id="none", status=status)

    def update_trial(self, trial_id: str, metrics: dict, step: int = 0) -> Trial:
        """Take the score of a trial; the last report before its end counts."""
        with self._guard:
            trial = self.trials[trial_id]
            if trial_id not in self.end_order:
                trial.metrics = type(trial.metrics)()
                super().update_trial(trial_id, dict(metrics), step)
            return trial

    def end_trial(self, trial: Trial) -> None:
        """End a trial; its first end counts."""
        with self._guard:
            ended = trial.trial_id in self.end_order
            if not ended:
                if trial.trial_id in self._left:
                    self._left.remove(trial.trial_id)
                super().end_trial(trial)
            for tuner_id, running in list(self.ongoing_trials.items()):
                if running.trial_id == trial.trial_id:
                    del self.ongoing_trials[tuner_id]
            if not ended:
                self.save()

    def reap(self, patience: float) -> list[str]:
        """Give up workers that were silent for `patience` seconds; return them."""
        with self._guard:
            now = time.monotonic()
            silent = [w for w, heard in self._heard.items() if now - heard > patience]
            for tuner_id in silent:
                del self._heard[tuner_id]
                self.tuner_ids.discard(tuner_id)
                trial = self.ongoing_trials.pop(tuner_id, None)
                if trial is not None:
                    self._bring_back(trial)
            if silent:
                self.save()
            return silent

    def _bring_back(self, trial: Trial) -> None:
        """Queue a trial whose process died, unless it ends every process."""
        deaths = self._deaths[trial.trial_id] = self._deaths.get(trial.trial_id, 0) + 1
        if deaths < MOST_DEATHS:
            trial.status = TrialStatus.INVALID  # until it runs again
            self._left.append(trial.trial_id)
            return
        trial.status = TrialStatus.FAILED
        trial.message = f"Its process died {deaths} times."
        self.end_trial(trial)

    def get_state(self) -> dict[str, Any]:
        ours = {"seconds": self.seconds, "deaths": self._deaths}
        return {**super().get_state(), **ours, "retry_queue": self._left}

    def set_state(self, state: dict[str, Any]) -> None:
        self._spent, self._deaths = state["seconds"], state["deaths"]
        self._left = list(state["retry_queue"])
        super().set_state({**state, "retry_queue": []})

    def save(self) -> None:
        """Write the state and all trials atomically."""
        with self._guard:
            trials = [trial.get_state() for trial in self.trials.values()]
            whole = {"state": self.get_state(), "trials": trials}
            write_json(self.folder / STATE, whole)

    def _save_trial(self, trial: Trial) -> None:
        """Write no file per trial: `save` follows and writes all trials."""

    def reload(self) -> None:
        """Resume from the file; trials that were running return to the queue.

        Raises:
            ValueError: a damaged file.
        """
        path = self.folder / STATE
        state, states = read_state(path, self.get_state())
        try:
            trials = [Trial.from_state(each) for each in states]
            self.trials = {trial.trial_id: trial for trial in trials}
            self.set_state(state)
        except Exception as error:  # what is KerasTuner's own shows as anything
            raise ValueError(
                f"{path} is damaged: {type(error).__name__}, {error}. Remove it and "
                "the folder's trials to start anew."
            ) from None
        running, self.ongoing_trials = list(self.ongoing_trials.values()), {}
        for trial in running:
            if trial.trial_id not in self.end_order:
                self._bring_back(trial)


class Random(Lasting, keras_tuner.oracles.RandomSearchOracle):
    """KerasTuner's random search."""


class Hyperband(Lasting, keras_tuner.oracles.HyperbandOracle):
    """KerasTuner's Hyperband."""


class Bayesian(Lasting, keras_tuner.oracles.BayesianOptimizationOracle):
    """KerasTuner's Bayesian optimization, without repeated points."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # The Gaussian process warns at every step that few trials fit it badly.
            warnings.simplefilter("ignore")
            answer = super().populate_space(trial_id)
        tried = [trial.hyperparameters.values for trial in self.trials.values()]
        if answer.get("values") not in tried:
            return answer
        points, self.num_initial_points = self.num_initial_points, sys.maxsize
        try:  # the first points are random and new
            return super().populate_space(trial_id)
        finally:
            self.num_initial_points = points


class Grid(Lasting):
    """Every point of the space once, the defaults first, the last entry fastest.

    KerasTuner's own grid keeps its place in memory alone and cannot resume.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not hasattr(self, "_points"):
            space = self.get_space()
            tried = [trial.hyperparameters.values for trial in self.trials.values()]
            points = _points(space, space.space, {})
            self._points = (values for values in points if values not in tried)
        values = next(self._points, None)
        status = TrialStatus.STOPPED if values is None else TrialStatus.RUNNING
        return {"status": status, "values": values}


def _points(
    space: keras_tuner.HyperParameters, entries: Sequence[Any], values: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the values of all points that share the given values of earlier entries."""
    if not entries:
        yield values
        return
    entry, *rest = entries
    space.values = values
    if not space.is_active(entry):
        yield from _points(space, rest, values)
        return
    for value in dict.fromkeys([entry.default, *entry.values]):
        yield from _points(space, rest, {**values, entry.name: value})


ALGORITHMS = {
    "random": Random,
    "hyperband": Hyperband,
    "bayesian": Bayesian,
    "grid": Grid,
}


def make_oracle(
    algorithm: str,
    objective: str,
    hyperparameters: keras_tuner.HyperParameters,
    *,
    trials: int | None,
    seed: int,
    epochs: int,
) -> Lasting:
    """Return an oracle that has not settled yet.

    Args:
        algorithm: one of `ALGORITHMS`.
        objective: one of `OBJECTIVES`.
        hyperparameters: the declared space.
        trials: most trials; None leaves the end to the algorithm or the clock.
        seed: seed of the oracle's draws.
        epochs: Hyperband's longest run.
    """
    check_choice("algorithm", algorithm, ALGORITHMS)
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(objective, OBJECTIVES[objective]),
        "hyperparameters": hyperparameters,
        "seed": seed + 1,  # KerasTuner draws a seed of its own in place of 0
        "max_consecutive_failed_trials": sys.maxsize,
    }
    if algorithm == "hyperband":
        oracle = Hyperband(max_epochs=epochs, **options)
        oracle.max_trials = trials
        return oracle
    options["max_trials"] = trials
    if algorithm == "bayesian":
        # KerasTuner's default, three per dimension, would often be the whole budget.
        points = 3 * len(hyperparameters.space)
        points = min(points, trials // 3) if trials else points
        options["num_initial_points"] = max(3, points)
    return ALGORITHMS[algorithm](**options)
