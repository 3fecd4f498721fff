"""KerasTuner's oracles, made to last: one file of state, whole at every moment.

KerasTuner writes a file per trial and one of its own, in place, one after the
other: a process killed between or inside the writes loses or repeats trials, and
its grid search cannot go on at all. Here state and trials are one file, moved
into place when it is whole.
"""

import functools
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from dlgn_keras.tools.files import read_json, write_json
from dlgn_keras.tools.messages import check_choice
from dlgn_keras.tuning.objectives import OBJECTIVES

# A trial that took so many processes down with it is not tried again.
MOST_DEATHS = 5
STATE = "oracle.json"
ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


class Lasting(keras_tuner.Oracle):
    """What every oracle here has beyond KerasTuner's: a life after its process.

    A trial that its process left behind is given out again; one that ended has
    ended, whoever reports it once more. A budget of hours counts the time that
    searches ran, all sessions together. Many machines: a trial whose worker is
    silent goes back to the queue, and no worker is sent home while a trial runs
    that may yet come back.
    """

    def settle(self, folder: Path, hours: float | None) -> None:
        """Take a folder as the place of the state, and go on with what is there."""
        self.folder = folder
        self.hours = hours
        self.verbose = 0  # the board shows what happens
        self._guard = threading.RLock()
        self._spent, self._started = 0.0, time.monotonic()
        self._deaths: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        self._exhausted = False
        self.figures: dict[str, dict[str, Any]] = {}  # of the records that were read
        if (folder / STATE).is_file():
            self.reload()

    @property
    def seconds(self) -> float:
        """How long this search has run, all its sessions together."""
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
            waiting = bool(self._retry_queue) and not self.time_is_up
            busy = bool(self.ongoing_trials or self.tuner_ids)
            return last and not waiting and not busy

    def ended_trials(self) -> list[Trial]:
        """Return the trials that ended, in the order in which they did."""
        with self._guard:
            return [self.trials[trial_id] for trial_id in self.end_order]

    def create_trial(self, tuner_id: str) -> Trial:
        """Return the trial that `tuner_id` is to run, or is running."""
        with self._guard:
            self._heard[tuner_id] = time.monotonic()
            if tuner_id not in self.ongoing_trials and self.time_is_up:
                self.tuner_ids.discard(tuner_id)
                return self._no_trial(TrialStatus.STOPPED)
            trial = super().create_trial(tuner_id)
            if trial.status == TrialStatus.STOPPED:
                if self.ongoing_trials:  # their workers may die: somebody must stay
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
        """End a trial; the first end counts."""
        with self._guard:
            if trial.trial_id in self.end_order:
                self._forget(trial.trial_id)
                return
            if trial.trial_id in self._retry_queue:
                self._retry_queue.remove(trial.trial_id)
            super().end_trial(trial)
            self._forget(trial.trial_id)
            self.save()

    def _forget(self, trial_id: str) -> None:
        """No worker runs this trial any more, whatever it still does."""
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                del self.ongoing_trials[tuner_id]

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
        """Queue a trial whose process died, unless it kills whatever runs it."""
        deaths = self._deaths[trial.trial_id] = self._deaths.get(trial.trial_id, 0) + 1
        if deaths < MOST_DEATHS:
            trial.status = TrialStatus.INVALID  # until it runs again
            self._retry_queue.append(trial.trial_id)
            return
        trial.status = TrialStatus.FAILED
        trial.message = f"Its process died {deaths} times."
        self.end_trial(trial)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "seconds": self.seconds, "deaths": self._deaths}

    def save(self) -> None:
        """Write everything, whole or not at all."""
        with self._guard:
            trials = [trial.get_state() for trial in self.trials.values()]
            write_json(
                self.folder / STATE, {"state": self.get_state(), "trials": trials}
            )

    def _save_trial(self, trial: Trial) -> None:
        """Leave it to `save`, which follows and writes all trials."""

    def reload(self) -> None:
        """Go on where the file left off; what was running goes back to the queue."""
        stored = read_json(self.folder / STATE)
        trials = [Trial.from_state(state) for state in stored["trials"]]
        self.trials = {trial.trial_id: trial for trial in trials}
        self.set_state(stored["state"])
        self._spent, self._deaths = (
            stored["state"]["seconds"],
            stored["state"]["deaths"],
        )
        left_behind = list(self.ongoing_trials.values())
        self.ongoing_trials = {}
        for trial in left_behind:
            if trial.trial_id not in self.end_order:
                self._bring_back(trial)


class Random(Lasting, keras_tuner.oracles.RandomSearchOracle):
    """KerasTuner's random search."""


class Hyperband(Lasting, keras_tuner.oracles.HyperbandOracle):
    """KerasTuner's Hyperband."""


class Bayesian(Lasting, keras_tuner.oracles.BayesianOptimizationOracle):
    """KerasTuner's Bayesian optimization, which never asks for the same twice."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # The Gaussian process tells at every step that few trials fit it badly.
            warnings.simplefilter("ignore")
            answer = super().populate_space(trial_id)
        values = answer.get("values")
        if values and self._duplicate(values):
            return self._random_populate_space()
        return answer


class Grid(Lasting, keras_tuner.oracles.GridSearchOracle):
    """KerasTuner's grid search, which here can go on after a stop."""

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        # KerasTuner keeps the grid's order in memory alone; the trials tell it.
        in_order = functools.cmp_to_key(
            lambda one, other: self._compare(
                self.trials[one].hyperparameters.values,
                self.trials[other].hyperparameters.values,
            )
        )
        for trial_id in sorted(self.start_order, key=in_order):
            self._ordered_ids.insert(trial_id)
        self._populate_next = list(self.start_order)


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
        seed: of the oracle's draws.
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
        dimensions = len(hyperparameters.space)
        points = min(3 * dimensions, trials // 3) if trials else 3 * dimensions
        options["num_initial_points"] = max(3, points)
    return ALGORITHMS[algorithm](**options)
