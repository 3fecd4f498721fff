"""Every experiment: what it trains at either scale, and that one call makes it."""

import argparse
import dataclasses
import json
import shlex

import pytest
from experiments import few

from dlgn_keras.cli.options import given_options
from dlgn_keras.cli.reproduce import add_arguments
from dlgn_keras.experiments import EXPERIMENTS, reproduce
from dlgn_keras.experiments.experiment import Call
from dlgn_keras.experiments.runs import BEST, Runs, run_name
from dlgn_keras.skeletons import output_shapes

WITH_CELLS = [name for name, found in EXPERIMENTS.items() if found.cells]
TINY = {**few.CHANGES, "skeleton": "fc:depth=4,width=4", "batch_norm": False}
INPUT_SHAPES = {
    "digits": (8, 8, 1),
    "mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "cifar100": (32, 32, 3),
    "sdi": (20,),
    "sdii": (100,),
    "sdiii": (500,),
}
PAPER_CELLS = {
    "regimes": 36,
    "gate-copying": 7,
    "families": 18,
    "value-inputs": 30,
    "gate-orders": 96,
    "learnt-gates": 15,
    "shallow": 9,
}


def _cells(name, scale="paper"):
    return EXPERIMENTS[name].cells(scale)


def _find(name, **labels):
    (cell,) = [c for c in _cells(name) if labels.items() <= c.labels.items()]
    return cell


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_registry_tells_what_is_needed_and_how_long_it_takes(name):
    found = EXPERIMENTS[name]
    assert found.name == name
    assert set(found.needs) == set(found.time) == {"small", "paper"}
    assert found.title
    assert found.source


def test_the_published_number_of_cells_is_there():
    assert {name: len(_cells(name)) for name in WITH_CELLS} == PAPER_CELLS


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", WITH_CELLS)
def test_no_two_lines_of_a_table_are_the_same_run(name, scale):
    cells = _cells(name, scale)
    labels = {tuple(cell.labels.values()) for cell in cells}
    sources = [cell.gates_of and run_name(cell.gates_of) for cell in cells]
    runs = {
        (run_name(cell.recipe), source, cell.gates_epoch)
        for cell, source in zip(cells, sources, strict=True)
    }
    assert len(labels) == len(runs) == len(cells)


def test_the_regime_tables_recipes_are_the_papers():
    for row, epochs, rate in (("fc-adam", 100, 1e-4), ("gconv-sgd", 100, 1e-1)):
        for cell in _cells("regimes"):
            if cell.labels["row"] == row:
                recipe = cell.recipe
                assert (recipe.epochs, recipe.learning_rate) == (epochs, rate)
                assert recipe.batch_size == 32
    joint = _find("regimes", row="fc-adam", regime="DLNPF").recipe
    assert (joint.gate_mode, joint.beta, joint.gate_scale) == ("soft", 4.0, 1.1)
    for regime in ("FRNPF(II)", "FRNPF(DI)"):
        assert _find("regimes", row="fc-adam", regime=regime).recipe.gate_mode == "hard"


def test_flnpf_copies_the_very_dnn_of_its_row():
    for row in ("fc-sgd", "vconv-adam"):
        flnpf = _find("regimes", row=row, regime="FLNPF")
        assert flnpf.gates_of == _find("regimes", row=row, regime="DNN").recipe
        assert flnpf.gates_epoch is None
        theirs = _find("regimes", row=row, regime="FLNPF (best epoch's gates)")
        assert theirs == dataclasses.replace(
            flnpf, labels=theirs.labels, gates_epoch=BEST
        )


def test_all_23_permutations_are_there_with_both_inputs_and_families():
    for row in ("dgn-input", "dgn-ones", "dlgn-input", "dlgn-ones"):
        cells = [c for c in _cells("gate-orders") if c.labels["row"] == row]
        orders = {c.recipe.gate_order for c in cells}
        assert None in orders
        assert len(orders - {None}) == 23
        assert {f"{c.recipe.family}-{c.recipe.value_input}" for c in cells} == {row}


def test_shallow_gating_sees_only_ones_at_the_value_input():
    for cell in _cells("shallow"):
        if cell.labels["model"] == "ReLU":
            assert cell.recipe.family == "dnn"
        else:
            assert cell.recipe.value_input == "ones"
            assert cell.recipe.shallow is (cell.labels["model"] == "DLGN-SF")
            assert not cell.recipe.value_bias


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", WITH_CELLS)
def test_every_net_fits_its_data(name, scale):
    for cell in _cells(name, scale):
        skeleton = cell.recipe.skeleton
        shapes = output_shapes(skeleton, INPUT_SHAPES[cell.recipe.data])
        gates = [shapes[site] for site in skeleton.site_names]
        if cell.recipe.gate_order:
            assert len(set(gates)) == 1
            assert len(gates) == len(cell.recipe.gate_order) == 4


@pytest.mark.parametrize("name", WITH_CELLS)
def test_one_call_writes_tables_and_a_figure(name, tmp_path):
    # The first and the last line, after one epoch of a net of four tiny layers.
    found = EXPERIMENTS[name]
    cells = [found.cells("small")[k] for k in (0, -1)]
    if name == "gate-copying":
        cells[1] = dataclasses.replace(cells[1], gates_epoch=1)
    short = dataclasses.replace(found, cells=lambda scale: cells)
    runs = Runs(tmp_path, progress=False)
    table = Call(short, runs, "small", 1, changes=TINY).run()
    folder = tmp_path / f"{name}-small"
    stored = json.loads((folder / "table.json").read_text())
    assert stored["lines"] == table.lines
    assert len(table.lines) == 2
    assert sorted(stored["runs"]) == sorted(few.stamps(tmp_path))
    assert (folder / "table.md").read_text() == table.markdown()
    assert (folder / "figure.png").read_bytes()[:4] == b"\x89PNG"
    for line in table.lines:
        assert line["seeds"] == 1
        assert 0 <= line["last mean"] <= line["best mean"] <= 100


def test_a_family_tables_ratio_is_that_of_its_own_accuracies(tmp_path):
    table = reproduce(
        "families",
        tmp_path,
        seeds=1,
        rows=["c4gap-digits"],
        progress=False,
        changes=TINY,
    )
    dnn = table.lines[0]["last mean"]
    for line in table.lines:
        assert line["% of DNN"] == pytest.approx(
            100 * line["last mean"] / dnn, abs=0.01
        )
    assert [line["net"] for line in table.lines] == ["fc 4x4"] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "regime"}, "Did you mean 'regimes'"),
        ({"scale": "papers"}, "Did you mean 'paper'"),
        ({"seeds": 0}, "`seeds` must be a whole number of at least 1"),
        ({"rows": ["fc-adm"]}, "Did you mean 'fc-adam'"),
        ({"rows": "fc-adam"}, "`rows` must be a list of names"),
        ({"changes": {"epoch": 3}}, "Did you mean 'epochs'"),
        ({"changes": {"family": "dgn"}}, "leave family to the experiment"),
    ],
)
def test_a_bad_call_is_answered_in_one_clear_line(options, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        reproduce(**{"name": "regimes", "out": tmp_path, "progress": False, **options})
    assert "\n" not in str(error.value)


def test_the_command_in_the_facts_asks_for_the_same_again(tmp_path):
    runs = Runs(tmp_path, progress=False)
    changes = {"epochs": 2, "skeleton": "fc:depth=2,width=8", "gate_order": [1, 0]}
    rows = ("fc-adam", "fc-sgd")
    call = Call(EXPERIMENTS["regimes"], runs, "paper", 4, rows, changes)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = shlex.split(call.command)
    assert words[:2] == ["dlgn-keras", "reproduce"]
    given = parser.parse_args(words[2:])
    assert (given.name, given.scale, given.seeds) == ("regimes", "paper", 4)
    assert tuple(given.rows.split(",")) == rows
    options = given_options(given)
    assert options.pop("gate_order") == (1, 0)
    assert options == {k: changes[k] for k in ("epochs", "skeleton")}
