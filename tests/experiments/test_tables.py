"""Tables: csv, markdown and json say the same."""

import csv
import json

import pytest

from dlgn_keras.experiments.tables import Table

LINES = [
    {"row": "a", "seeds": 2, "last mean": 97.125, "last std": 0.25, "published": 98.1},
    {"row": "b", "seeds": 1, "last mean": 3.0, "last std": None, "published": None},
]


@pytest.fixture
def folder(tmp_path):
    return Table("Title", LINES, ["A note."], {"command": "run"}).write(tmp_path)


def test_json_holds_lines_and_facts_as_they_are(folder):
    stored = json.loads((folder / "table.json").read_text())
    assert stored["lines"] == LINES
    assert (stored["title"], stored["command"]) == ("Title", "run")


def test_csv_holds_the_same_numbers(folder):
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["a", "b"]
    assert [float(row["last mean"]) for row in rows] == [97.125, 3.0]
    assert [row["published"] for row in rows] == ["98.1", ""]


def test_markdown_joins_mean_and_spread_and_leaves_gaps_blank(folder):
    text = (folder / "table.md").read_text().splitlines()
    assert text[0] == "# Title"
    assert text[2] == "| row | seeds | last | published |"
    assert text[4] == "| a | 2 | 97.12 ± 0.25 | 98.1 |"
    assert text[5] == "| b | 1 | 3 |  |"
    assert text[-1] == "A note."


def test_nothing_but_whole_files_is_left(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "table.csv",
        "table.json",
        "table.md",
    ]
