"""Oracles that last: every moment at which a process can die, and what then follows."""

import importlib
import inspect
import itertools
import json
import re
import shutil
import time
from pathlib import Path

import keras_tuner
import numpy as np
import pytest
from keras_tuner.engine.trial import TrialStatus
from tuning import bowl

from dlgn_keras.tuning import oracles
from dlgn_keras.tuning.state import read_state

BUDGETS = {"grid": None, "random": 6, "bayesian": 5, "hyperband": None}


def moments(folder, algorithm):
    """Search to the end; return the state's text after every write, and the outcome."""
    texts = []

    def remember(path, value):
        write(path, value)
        texts.append(path.read_text())

    write = oracles.write_json
    oracles.write_json = remember
    try:
        made = bowl.oracle(folder, algorithm, BUDGETS[algorithm])
        bowl.drive(made)
    finally:
        oracles.write_json = write
    return texts, bowl.outcome(made)


@pytest.mark.parametrize("algorithm", BUDGETS)
def test_whenever_it_is_killed_nothing_that_ended_is_lost_or_run_again(
    algorithm, tmp_path
):
    texts, whole = moments(tmp_path / "whole", algorithm)
    assert len(texts) > 2 * len(whole)
    for k, text in enumerate(texts):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / oracles.STATE).write_text(text)
        made = bowl.oracle(folder, algorithm, BUDGETS[algorithm])
        ended = bowl.outcome(made)
        ran = bowl.drive(made)
        after = bowl.outcome(made)
        assert ended.items() <= after.items()
        assert not set(ran) & set(ended)
        assert len(ran) == len(set(ran))
        assert set(after) == set(ended) | set(ran) == set(made.trials)
        assert len(after) == len(made.end_order)
        if algorithm in ("grid", "random"):  # the draws do not depend on the scores
            assert {v for v, *_ in after.values()} == {v for v, *_ in whole.values()}
        shutil.rmtree(folder)


def test_the_grid_is_every_point_once(tmp_path):
    made = bowl.oracle(tmp_path)
    bowl.drive(made)
    points = {
        (depth, "sgd", momentum)
        for depth, momentum in itertools.product((2, 3, 4), (0.9, 0.5))
    } | {(depth, "adam", None) for depth in (2, 3, 4)}
    seen = [trial.hyperparameters.values for trial in made.ended_trials()]
    assert len(seen) == bowl.POINTS
    assert {(v["depth"], v["optimizer"], v.get("momentum")) for v in seen} == points


def test_keras_tuners_own_grid_does_not_go_on(tmp_path):
    """Broken twin: why `Grid` is an oracle of our own."""

    class Bare(oracles.Lasting, keras_tuner.oracles.GridSearchOracle):
        pass

    made = bowl.oracle(tmp_path)
    for _ in range(3):
        bowl.step(made)
    bare = Bare(objective=made.objective, hyperparameters=made.get_space(), seed=1)
    bare.settle(tmp_path, None)
    assert bowl.drive(bare) == []
    assert len(bowl.drive(bowl.oracle(tmp_path))) == bowl.POINTS - 3


@pytest.mark.parametrize(
    "more",
    [
        {"depth": [2], "beta": {"min": 1.0, "max": 9.0}},
        {"batch_norm": [True, False]},
    ],
    ids=["range", "switch"],
)
def test_the_grid_has_keras_tuners_points_in_its_order(more, tmp_path):
    class Bare(oracles.Lasting, keras_tuner.oracles.GridSearchOracle):
        pass

    made = bowl.oracle(tmp_path / "ours", space={**bowl.SPACE, **more})
    theirs = Bare(
        objective=made.objective,
        hyperparameters=made.get_space(),
        max_consecutive_failed_trials=1000,
    )
    (tmp_path / "theirs").mkdir()
    theirs.settle(tmp_path / "theirs", None)
    for oracle in (made, theirs):
        bowl.drive(oracle)
    values = [
        [trial.hyperparameters.values for trial in oracle.ended_trials()]
        for oracle in (made, theirs)
    ]
    assert len(values[0]) > bowl.POINTS
    assert values[0] == values[1]


PRIVATE = {
    "_save_trial": keras_tuner.Oracle,
    "get_service": oracles.protos,
    "get_service_grpc": oracles.protos,
    "CreateTrial": oracles.OracleServicer,
    "create_trial": oracles.OracleClient,
    "end_trial": oracles.OracleClient,
    "update_trial": oracles.OracleClient,
}


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_member_of_keras_tuner_is_there(name):
    """One of those that the docstring of `tuning.oracles` lists."""
    assert callable(getattr(PRIVATE[name], name))


def test_no_file_but_one_names_private_members_of_keras_tuner():
    """No module of its `src`, and no attribute that it sets with an underscore."""
    sources = Path(oracles.__file__).parent.glob("*.py")
    texts = {path.stem: path.read_text() for path in sources}
    assert {name for name, text in texts.items() if "keras_tuner.src" in text} == {
        "oracles"
    }
    theirs = set()
    for module in ("engine.oracle", "tuners.bayesian", "tuners.gridsearch"):
        source = inspect.getsource(importlib.import_module(f"keras_tuner.src.{module}"))
        theirs |= set(re.findall(r"self\.(_[a-z]\w*)", source))
    assert "_retry_queue" in theirs
    used = set(re.findall(r"\._[a-z]\w*", "".join(texts.values())))
    ours = {f".{name}" for name in theirs}
    assert used & ours <= {"._save_trial"}


def test_bayesian_search_never_asks_for_the_same_twice(tmp_path):
    made = bowl.oracle(tmp_path, "bayesian", 40)
    bowl.drive(made)
    values = [values for values, *_ in bowl.outcome(made).values()]
    assert len(values) == len(set(values)) == bowl.POINTS  # then the space is empty


def test_bayesian_search_finds_the_best_of_a_bowl_sooner_than_chance(tmp_path):
    space = {name: {"min": 0.0, "max": 1.0} for name in ("beta", "momentum")}

    def best(algorithm):
        made = bowl.oracle(tmp_path / algorithm, algorithm, 10, space=space)
        scores = []
        while (trial := made.create_trial("a")).status == TrialStatus.RUNNING:
            at = np.array([trial.hyperparameters.get(name) for name in space])
            scores.append(-float(np.sum((at - 0.7) ** 2)))
            made.update_trial(trial.trial_id, {"validation_accuracy": scores[-1]})
            trial.status = TrialStatus.COMPLETED
            made.end_trial(trial)
        return max(scores)

    assert best("bayesian") > best("random")


def test_hyperband_promotes_the_best_of_a_round(tmp_path):
    made = bowl.oracle(tmp_path, "hyperband")
    bowl.drive(made)
    trials = made.ended_trials()
    promoted = [t for t in trials if "tuner/trial_id" in t.hyperparameters.values]
    assert promoted
    for trial in promoted:
        values = trial.hyperparameters.values
        past = made.trials[values["tuner/trial_id"]]
        assert past.score == trial.score
        assert values["tuner/epochs"] > past.hyperparameters.values["tuner/epochs"]
        assert values["tuner/epochs"] <= 4


def test_a_failure_is_kept_and_the_search_goes_on(tmp_path):
    made = bowl.oracle(tmp_path)
    bowl.drive(made)
    failed = [t for t in made.ended_trials() if t.status == TrialStatus.FAILED]
    assert [bowl.fails(t.hyperparameters.values) for t in failed] == [True]
    again = bowl.oracle(tmp_path)
    assert again.trials[failed[0].trial_id].message == "it crashed"
    assert bowl.drive(again) == []


def test_a_trial_that_kills_its_process_is_given_up(tmp_path):
    for deaths in range(oracles.MOST_DEATHS):
        made = bowl.oracle(tmp_path)
        assert made.create_trial("alone").trial_id == "0000", deaths
    made = bowl.oracle(tmp_path)
    (first,) = made.ended_trials()
    assert (first.status, first.message) == (
        TrialStatus.FAILED,
        f"Its process died {oracles.MOST_DEATHS} times.",
    )
    assert len(bowl.drive(made)) == bowl.POINTS - 1


def test_more_trials_go_on_where_fewer_ended(tmp_path):
    first = bowl.oracle(tmp_path, "random", 3)
    bowl.drive(first)
    more = bowl.oracle(tmp_path, "random", 5)
    assert len(bowl.drive(more)) == 2
    assert bowl.outcome(first).items() <= bowl.outcome(more).items()


def test_hours_count_over_all_sessions(tmp_path):
    made = bowl.oracle(tmp_path, hours=1.0)
    bowl.step(made)
    assert 0 < made.seconds < 60
    state = json.loads((tmp_path / oracles.STATE).read_text())
    state["state"]["seconds"] = 3599.0
    (tmp_path / oracles.STATE).write_text(json.dumps(state))
    again = bowl.oracle(tmp_path, hours=1.0)
    assert bowl.step(again) == TrialStatus.COMPLETED
    again._started -= 2  # two seconds later
    assert bowl.step(again) == TrialStatus.STOPPED
    assert again.is_over
    longer = bowl.oracle(tmp_path, hours=2.0)
    assert bowl.step(longer) == TrialStatus.COMPLETED


def test_a_torn_state_is_named(tmp_path):
    bowl.step(bowl.oracle(tmp_path))
    path = tmp_path / oracles.STATE
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=r"oracle\.json is damaged"):
        bowl.oracle(tmp_path)


def changed(value, path, new):
    """A copy of a json value with one entry replaced, or left out where new is None."""
    copy = json.loads(json.dumps(value))
    *outer, last = path
    inner = copy
    for key in outer:
        inner = inner[key]
    inner[last] = new
    if new is None:
        del inner[last]
    return copy


@pytest.mark.parametrize("algorithm", ["grid", "hyperband"])
def test_a_state_of_odd_types_is_told_field_by_field(algorithm, tmp_path):
    made = bowl.oracle(tmp_path, algorithm)
    bowl.step(made)
    made.create_trial("other")  # one is running
    path = tmp_path / oracles.STATE
    whole = json.loads(path.read_text())
    assert len(read_state(path, whole["state"])[1]) == 2
    state = {("state", key) for key in whole["state"]}
    trials = {("trials", 0, key) for key in whole["trials"][0]}
    values = {("trials", 0, "hyperparameters", key) for key in ("space", "values")}
    damaged = [[], {}, "x", [whole], {"state": [], "trials": []}]
    for field in state | trials | values:
        damaged += [changed(whole, field, new) for new in (None, "?", 10**400, [[]])]
    damaged += [
        changed(whole, ("trials", 0, "status"), "DONE"),
        changed(whole, ("trials", 0, "score"), float("nan")),
        changed(whole, ("state", "end_order"), ["none such"]),
        changed(whole, ("trials",), whole["trials"][:1]),
        changed(whole, ("state", "display"), {"search_start": 5}),
    ]
    told = []
    for value in damaged:
        path.write_text(json.dumps(value))
        try:
            bowl.drive(bowl.oracle(tmp_path, algorithm))
        except ValueError as error:
            told.append(str(error))
    # Some are no damage, such as another message or a large number as a seed.
    assert len(told) > 0.9 * len(damaged)
    assert all(line.startswith(f"{path} is damaged: ") for line in told)
    assert not [line for line in told if "\n" in line or len(line) > 500]


def test_a_silent_workers_trial_goes_to_another(tmp_path):
    made = bowl.oracle(tmp_path)
    lost = made.create_trial("a")
    bowl.step(made, "b")
    assert made.reap(patience=60) == []
    made._heard["a"] = time.monotonic() - 61
    assert made.reap(patience=60) == ["a"]
    assert made.create_trial("b").trial_id == lost.trial_id


def test_no_worker_is_sent_home_while_a_trial_may_come_back(tmp_path):
    made = bowl.oracle(tmp_path, "random", 2)
    lost = made.create_trial("a")
    assert bowl.step(made, "b") == TrialStatus.COMPLETED
    assert bowl.step(made, "b") == TrialStatus.IDLE
    assert not made.is_over
    made._heard["a"] = time.monotonic() - 61
    made.reap(patience=60)
    ran = []
    bowl.step(made, "b", ran)
    assert ran == [lost.trial_id]
    assert bowl.step(made, "b") == TrialStatus.STOPPED
    assert made.is_over


def test_of_two_ends_of_a_trial_the_first_counts(tmp_path):
    made = bowl.oracle(tmp_path)
    slow = made.create_trial("a")
    made._heard["a"] = time.monotonic() - 61
    made.reap(patience=60)
    again = made.create_trial("b")
    assert again.trial_id == slow.trial_id
    bowl.end(made, again)
    before = bowl.outcome(made)
    late = keras_tuner.engine.trial.Trial.from_state(again.get_state())
    late.status, late.message = TrialStatus.FAILED, "late"
    made.update_trial(late.trial_id, {"validation_accuracy": 0.0})
    made.end_trial(late)
    assert bowl.outcome(made) == before
    assert not made.ongoing_trials
