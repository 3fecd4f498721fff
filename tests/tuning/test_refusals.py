"""What is refused, each with one clear line; what is on record; what is not seen."""

import dataclasses
import json

import numpy as np
import pytest
from few_digits import digits

import dlgn_keras as dk
from dlgn_keras.cli import main
from dlgn_keras.tools.files import only_one
from dlgn_keras.tuning import searching, trials
from dlgn_keras.tuning.plots import best_so_far

SPACE = {"width": [4, 12], "beta": [1.0, 3.0, 9.0]}
OPTIONS = {"algorithm": "grid", "retrain_seeds": 0, "progress": False}


def model(space=None, **fields):
    return dk.tuning.GatedHyperModel(
        **{
            "space": space or SPACE,
            "data": digits(30),
            "skeleton": "fc:depth=1",
            "epochs": 1,
            **fields,
        }
    )


@pytest.fixture
def quick(monkeypatch):
    """Trials that take no time: the search around them is what is tested."""

    def measure(hypermodel, recipe, run, objective):
        if recipe.beta == 9.0:
            raise MemoryError("out of\nmemory")
        return {
            "status": "finished",
            "score": recipe.beta / 10,
            "validation_accuracy": recipe.beta / 10,
            "parameters": 1,
            "seconds": 0.0,
            "history": [],
        }

    monkeypatch.setattr(trials, "_train", measure)
    monkeypatch.setattr(trials, "free_memory", lambda: None)


@pytest.mark.usefixtures("quick")
def test_an_old_folder_of_another_search_is_refused(tmp_path):
    dk.tuning.search(model(), tmp_path, **OPTIONS)
    rows = (tmp_path / "trials.csv").read_text()
    for changed, options, expected in [
        ({"space": {**SPACE, "beta": [1.0, 4.0]}}, {}, "the space's beta is"),
        ({"space": {"width": [4, 12]}}, {}, "absent here"),
        ({"space": dict(reversed(SPACE.items()))}, {}, "the space's order"),
        ({"epochs": 2}, {}, "recipe.epochs is 1 there, 2 here"),
        ({"family": "dgn"}, {}, "recipe.family is 'dlgn' there, 'dgn' here"),
        ({"data": digits(20)}, {}, "data.train is 70 there, 80 here"),
        ({}, {"algorithm": "random"}, "algorithm is 'grid' there, 'random' here"),
        ({}, {"seed": 5}, "seed is 0 there, 5 here"),
        ({}, {"objective": "validation_loss"}, "objective is"),
    ]:
        with pytest.raises(ValueError, match="`out` holds another search") as error:
            dk.tuning.search(model(**changed), tmp_path, **{**OPTIONS, **options})
        assert expected in str(error.value)
        assert "\n" not in str(error.value)
    assert (tmp_path / "trials.csv").read_text() == rows


@pytest.mark.usefixtures("quick")
def test_a_crash_is_on_record_and_the_search_goes_on(tmp_path):
    found = dk.tuning.search(model(), tmp_path, **OPTIONS)
    assert found is not None
    failed = [row for row in found.rows if row["status"] == "failed"]
    assert len(found.rows) == 6
    assert [row["message"] for row in failed] == ["MemoryError: out of memory"] * 2
    assert found.best.beta == 3.0


@pytest.mark.usefixtures("quick")
def test_where_nothing_works_the_search_ends(tmp_path):
    space = {"beta": [9.0], "learning_rate": {"min": 0.1, "max": 0.2}}
    options = {**OPTIONS, "algorithm": "random", "trials": 50}
    with pytest.raises(ValueError, match="The first 10 trials all failed"):
        dk.tuning.search(model(space), tmp_path, **options)
    assert len(list((tmp_path / "trials").iterdir())) == searching.HOPELESS


@pytest.mark.usefixtures("quick")
def test_a_record_written_before_the_kill_is_not_made_again(tmp_path):
    dk.tuning.search(model(), tmp_path / "whole", **OPTIONS)
    # As if killed after the second trial's record and before the oracle heard of it.
    part = tmp_path / "part"
    dk.tuning.search(model(), part, **{**OPTIONS, "trials": 1})
    record = json.loads((tmp_path / "whole/trials/0001.json").read_text())
    (part / "trials/1.json").write_text(json.dumps({**record, "score": 0.123}))
    found = dk.tuning.search(model(), part, **{**OPTIONS, "trials": 2})
    assert found is not None
    assert [row["score"] for row in found.rows] == [0.1, 0.123]


@pytest.mark.usefixtures("quick")
def test_a_damaged_record_is_told_and_a_whole_one_is_read(tmp_path):
    dk.tuning.search(model(), tmp_path, **OPTIONS)
    path = tmp_path / "trials/0000.json"
    whole = json.loads(path.read_text())
    recipe = whole["recipe"]
    assert dk.tuning.search(model(), tmp_path, **OPTIONS) is not None
    for damage in [
        [],
        {},
        "x",
        {**whole, "status": "done"},
        {**whole, "recipe": {"module": "os", "class_name": "system"}},
        {**whole, "recipe": {**recipe, "boundaries": 5}},
        {**whole, "recipe": {**recipe, "skeleton": {"stages": 5}}},
        *({**whole, field: [5]} for field in ("score", "seconds", "parameters")),
        *(
            {k: v for k, v in whole.items() if k != field}
            for field in ("ended", "score")
        ),
    ]:
        path.write_text(json.dumps(damage))
        with pytest.raises(ValueError, match=r"is damaged: .* Remove it") as caught:
            dk.tuning.search(model(), tmp_path, **OPTIONS)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "damage", [[], "x", {"space": 5}, {"space": [5]}, {"recipe": "x"}, {"data": []}]
)
def test_damaged_facts_of_a_search_are_told(tmp_path, damage):
    dk.tuning.search(model(), tmp_path, **OPTIONS)
    path = tmp_path / "search.json"
    whole = json.loads(path.read_text())
    path.write_text(
        json.dumps({**whole, **damage} if damage and damage != "x" else damage)
    )
    with pytest.raises(ValueError, match=r"search.json: .* must be") as caught:
        dk.tuning.search(model(), tmp_path, **OPTIONS)
    assert len(str(caught.value)) < 300


def test_the_test_part_decides_nothing(tmp_path):
    """Other test labels, even wrong ones, leave every score as it is."""
    wrong = dataclasses.replace(digits(30), y_test=(digits().y_test + 1) % 10)
    space = {"beta": [8.0]}
    rows = []
    for name, dataset in (("right", digits(30)), ("wrong", wrong)):
        hypermodel = model(space, data=dataset, learning_rate=0.02)
        found = dk.tuning.search(hypermodel, tmp_path / name, **OPTIONS)
        assert found is not None
        rows.append([(row["trial"], row["score"]) for row in found.rows])
        blind = hypermodel.blind()
        assert not np.shares_memory(blind.x_test, dataset.x_test)
        assert np.array_equal(blind.y_test, dataset.y_validation)
    assert rows[0] == rows[1]


def test_a_loss_can_be_the_objective(tmp_path):
    options = {**OPTIONS, "objective": "validation_loss"}
    space = {"learning_rate": [1e-6, 0.02]}
    found = dk.tuning.search(model(space, epochs=3), tmp_path, **options)
    assert found is not None
    assert found.best.learning_rate == 0.02
    assert found.score == min(row["score"] for row in found.rows)
    assert best_so_far(found.rows, "validation_loss")[-1] == found.score


def test_no_validation_data_is_told():
    with pytest.raises(ValueError, match="has no validation part of its own"):
        model(data=digits(), validation=0.0)
    with pytest.raises(ValueError, match="has no validation part of its own"):
        model(data="digits", validation=0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"objective": "val_accuracy"}, "Did you mean 'validation_accuracy'"),
        ({"objective": "test_accuracy"}, "A search never looks at the test set"),
        ({"algorithm": "rnadom"}, "Did you mean 'random'"),
        ({"trials": 0}, "trials=0"),
        ({"hours": 0.0}, "hours=0.0"),
        ({"hours": float("nan")}, "hours=nan"),
        ({"role": "boss"}, "alone, chief, worker"),
        ({"role": "worker"}, "`chief` must be HOST:PORT"),
        ({"role": "chief", "chief": "here"}, "`chief` must be HOST:PORT"),
        ({"patience": 0}, "patience=0"),
        ({"retrain_seeds": -1}, "retrain_seeds=-1"),
    ],
)
def test_a_bad_argument_is_told(options, expected, tmp_path):
    with pytest.raises(ValueError, match=expected) as error:
        dk.tuning.search(model(), tmp_path, **{**OPTIONS, **options})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "oracle.json").exists()


def test_hyperband_chooses_the_epochs_itself(tmp_path):
    hypermodel = model({"epochs": [1, 2]})
    with pytest.raises(ValueError, match="take `epochs` out of the space"):
        dk.tuning.search(hypermodel, tmp_path, algorithm="hyperband", progress=False)


def test_two_searches_do_not_share_a_folder(tmp_path):
    with (
        only_one(tmp_path, "search"),
        pytest.raises(ValueError, match="no other search"),
    ):
        dk.tuning.search(model(), tmp_path, **OPTIONS)


FEW = ["--num-train", "60", "--num-test", "20", "--epochs", "1", "--skeleton"]
FEW += ["fc:depth=1,width=4"]
ABSENT = ["--chief", "127.0.0.1:9", "--patience", "0.2"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--validation", "0"], "has no validation part of its own"),
        (["--objective", "accuracy"], "validation_accuracy, validation_loss"),
        (["--objective", "test_accuracy"], "never looks at the test set"),
        (["--role", "chief", "--chief", "nowhere"], "HOST:PORT"),
        (["--role", "worker", *ABSENT], "No chief answers at 127.0.0.1:9"),
        (["--space", "p5"], "Did you mean 'p4'"),
        (["--space", "no.json"], "No search space file 'no.json'"),
        (["--space", "no.py:space"], "No file 'no.py'"),
        (["--families", "dnn,dlg"], "Did you mean 'dlgn'"),
        (["--vary", "beta=1,2"], "`vary` goes with `families`"),
        (["--families", "dnn", "--vary", "betta=1"], "Did you mean 'beta'"),
        (["--families", "dnn,dlgn", "--vary", "beta=4,-1"], "Received: beta=-1"),
        (["--families", "dlgn", "--vary", "beta=4", "--retrain", "0"], "at least 1"),
        (["--families", "dnn,dlgn", "--role", "worker"], "role='worker'"),
        (["--trials", "0"], "trials=0"),
        (["p0-fc-sgdd"], "Did you mean 'p0-fc-sgd'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, expected, tmp_path, capsys):
    arguments = ["tune", *arguments, *FEW, "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("dlgn-keras tune: ")
    assert expected in line
    assert not list(tmp_path.rglob("oracle.json"))


def test_the_command_tells_the_same_as_its_folder(tmp_path, capsys):
    source = tmp_path / "mine.py"
    source.write_text(
        "def space(hp):\n"
        "    return {'beta': hp.Choice('beta', [1.0, 4.0]), 'value_input': 'ones'}\n"
    )
    out = tmp_path / "out"
    arguments = ["tune", "--space", f"{source}:space", "--algorithm", "grid", *FEW]
    arguments += ["--retrain", "1", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert report["trials"] == {"finished": 2}
    stored = json.loads((out / "result.json").read_text())
    assert {k: report[k] for k in ("best", "retrained")} == {
        k: stored[k] for k in ("best", "retrained")
    }
    recipe = dk.training.Recipe.from_file(out / "best.json")
    assert (recipe.value_input, recipe.validation) == ("ones", 0.2)
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"{report['best']['score']:.4f}" in printed
    assert "best.json" in printed
