"""Cells: gates from the right run, figures from the right results."""

import numpy as np
import pytest
from experiments import few

from dlgn_keras import data, skeletons
from dlgn_keras.experiments.experiment import Cell, change, describe, measure, select
from dlgn_keras.experiments.runs import BEST, Runs
from dlgn_keras.training import Result, fit, load_trained

DNN = few.recipe(family="dnn", schedule="constant")
DGN = few.recipe(family="dgn")


def _measure(out, cells, seeds):
    runs = Runs(out, progress=False)
    return runs, measure(runs, cells, seeds, after_each=lambda measured: None)


def test_frozen_gates_are_the_hard_gates_of_the_source_with_the_same_seed(tmp_path):
    cells = [Cell({"row": "dnn"}, DNN), Cell({"row": "fixed"}, DGN, gates_of=DNN)]
    runs, measured = _measure(tmp_path, cells, seeds=2)
    x = data.load("digits").x_test[:20]
    dnns = [load_trained(str(runs.folder(DNN.replace(seed=s)))) for s in (0, 1)]
    for seed, result in enumerate(measured[1].results):
        name = next(n for n, r in runs.asked.items() if r is result)
        ours = load_trained(str(tmp_path / "runs" / name)).gates(x)
        for site, gates in dnns[seed].gates(x).items():
            np.testing.assert_array_equal(ours[site], gates)
            assert not np.array_equal(ours[site], dnns[1 - seed].gates(x)[site])
    assert len(few.stamps(tmp_path)) == 4  # the DNN served twice a seed


def test_gates_of_an_epoch_come_from_the_model_kept_then(tmp_path):
    cells = [Cell({"row": str(k)}, DGN, gates_of=DNN, gates_epoch=k) for k in range(3)]
    runs, measured = _measure(tmp_path, cells, seeds=1)
    source = runs.folder(DNN, keep=[0, 1, 2])
    x = data.load("digits").x_test[:20]
    for k, one in enumerate(measured):
        name = next(n for n, r in runs.asked.items() if r is one.results[0])
        ours = load_trained(str(tmp_path / "runs" / name)).gates(x)
        theirs = load_trained(str(source / f"epoch_{k:04d}.keras")).gates(x)
        np.testing.assert_array_equal(ours["dense_1"], theirs["dense_1"])
        assert one.sources[0].recipe["family"] == "dnn"
    assert len(few.stamps(tmp_path)) == 4


def test_gates_of_the_best_epoch_come_from_the_model_it_left(tmp_path):
    dnn = DNN.replace(epochs=5, learning_rate=0.05)
    cells = [
        Cell({"row": "dnn"}, dnn),
        Cell({"row": "last"}, DGN, dnn),
        Cell({"row": "best"}, DGN, dnn, BEST),
    ]
    runs, (source, _, best) = _measure(tmp_path, cells, seeds=1)
    tests = [row["test_accuracy"] for row in source.results[0].history]
    epoch = tests.index(max(tests)) + 1
    folder = runs.folder(dnn)
    assert [path.name for path in folder.glob("epoch_*")] == [
        f"epoch_{epoch:04d}.keras"
    ]
    shorter = fit(dnn.replace(epochs=epoch), progress=False).model
    name = next(n for n, r in runs.asked.items() if r is best.results[0])
    ours = load_trained(str(tmp_path / "runs" / name))
    x = data.load("digits").x_test[:20]
    np.testing.assert_array_equal(ours.gates(x)["dense_2"], shorter.gates(x)["dense_2"])
    assert len(few.stamps(tmp_path)) == 3  # the DNN was trained once


def test_a_line_holds_the_mean_and_spread_of_the_result_files(tmp_path):
    runs, (one,) = _measure(tmp_path, [Cell({"row": "a"}, DGN, published=98.0)], 3)
    files = [Result.load(runs.folder(DGN.replace(seed=seed))) for seed in range(3)]
    line = one.line()
    last = 100 * np.array([result.history[-1]["test_accuracy"] for result in files])
    best = 100 * np.array(
        [max(row["test_accuracy"] for row in result.history) for result in files]
    )
    assert line["last mean"] == pytest.approx(last.mean(), abs=1e-4)
    assert line["last std"] == pytest.approx(last.std(ddof=1), abs=1e-4)
    assert line["best mean"] == pytest.approx(best.mean(), abs=1e-4)
    assert line["best std"] == pytest.approx(best.std(ddof=1), abs=1e-4)
    assert (line["seeds"], line["published"]) == (3, 98.0)
    assert line["net"] == "fc 2x6"


def test_one_seed_has_no_spread_and_no_seed_no_mean(tmp_path):
    _, (one,) = _measure(tmp_path, [Cell({"row": "a"}, DGN)], 1)
    assert one.line()["last std"] is None
    one.results.clear()
    assert one.line()["last mean"] is None


def test_seeds_come_one_after_the_other(tmp_path):
    seen = []
    cells = [Cell({"row": "a"}, DGN), Cell({"row": "b"}, DNN)]
    measure(
        Runs(tmp_path, progress=False),
        cells,
        2,
        lambda measured: seen.append([len(one.results) for one in measured]),
    )
    assert seen == [[1, 0], [1, 1], [2, 1], [2, 2]]


@pytest.mark.parametrize(
    ("skeleton", "text"),
    [
        (skeletons.fc(5, 128), "fc 5x128"),
        (skeletons.vgg16(), "vgg16 2x64 2x128 3x256 6x512"),
        (skeletons.resnet(8), "resnet8 3x16 3x32 3x64"),
    ],
)
def test_a_skeletons_widths_are_told(skeleton, text):
    assert describe(skeleton) == text


def test_changes_reach_the_source_of_the_gates_too():
    (cell,) = change([Cell({"row": "a"}, DGN, gates_of=DNN)], {"epochs": 7})
    assert (cell.recipe.epochs, cell.gates_of.epochs) == (7, 7)


@pytest.mark.parametrize("name", ["family", "regime", "gates_from", "seed"])
def test_changes_may_not_touch_what_the_experiment_varies(name):
    with pytest.raises(ValueError, match=f"leave {name} to the experiment"):
        change([Cell({"row": "a"}, DGN)], {name: 1})


def test_an_unknown_field_or_row_is_answered_with_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'epochs'"):
        change([Cell({"row": "a"}, DGN)], {"epoch": 1})
    with pytest.raises(ValueError, match="Did you mean 'fc-adam'"):
        select([Cell({"row": "fc-adam"}, DGN)], ["fc-adm"])


def test_a_row_or_some_lines_of_it_can_be_chosen():
    cells = [
        Cell({"row": row, "family": family}, DGN)
        for row in ("a", "b")
        for family in ("DNN", "DGN")
    ]

    def names(rows):
        return ["".join(cell.labels.values()) for cell in select(cells, rows)]

    assert names([]) == names(["b", "a"]) == ["aDNN", "aDGN", "bDNN", "bDGN"]
    assert names(["b/DGN", "a"]) == ["aDNN", "aDGN", "bDGN"]
    with pytest.raises(ValueError, match=r"one of b/DNN, b/DGN\..*'b/DG'"):
        select(cells, ["b/DG"])
