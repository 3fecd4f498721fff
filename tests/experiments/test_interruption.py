"""A killed experiment goes on where it was, and ends as if nothing had happened."""

import json
import time

import forked
from experiments import few

from dlgn_keras.experiments import reproduce

CHANGES = {**few.CHANGES, "epochs": 3, "skeleton": "fc:depth=2,width=6"}
ROWS = ["fc-adam/DNN", "fc-adam/FLNPF", "fc-adam/DLNPF"]
SCRIPT = f"""
import sys
from dlgn_keras.experiments import reproduce
reproduce("regimes", sys.argv[1], seeds=1, rows={ROWS!r}, changes={CHANGES!r})
"""


def _reproduce(out):
    return reproduce(
        "regimes", out, seeds=1, rows=ROWS, progress=False, changes=CHANGES
    )


def test_a_killed_experiment_keeps_its_runs_and_ends_with_the_same_table(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = forked.start(SCRIPT, killed, folder=tmp_path / "log")
    try:
        # Let the first run finish and the second be under way.
        while not (few.stamps(killed) and list(killed.glob("runs/*/checkpoint.npz"))):
            assert process.poll() is None, "It ended before it could be killed."
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    before = few.stamps(killed)
    assert 1 <= len(before) < len(ROWS)
    table = _reproduce(killed)
    after = few.stamps(killed)
    assert before.items() <= after.items()  # nothing finished was trained again
    assert len(after) == len(ROWS)
    results = [json.loads(p.read_text()) for p in killed.glob("runs/*/result.json")]
    assert sum(result["interruptions"] for result in results) == 1
    assert table.lines == _reproduce(whole).lines


def test_more_seeds_train_only_what_is_new(tmp_path):
    options = {
        "rows": ["c4gap-digits/DNN", "c4gap-digits/DLGN"],
        "progress": False,
        "changes": {**CHANGES, "epochs": 1},
    }
    one = reproduce("families", tmp_path, seeds=1, **options)
    before = few.stamps(tmp_path)
    two = reproduce("families", tmp_path, seeds=2, **options)
    after = few.stamps(tmp_path)
    assert before.items() <= after.items()
    assert (len(before), len(after)) == (2, 4)
    assert [line["seeds"] for line in one.lines] == [1] * 2
    assert [line["seeds"] for line in two.lines] == [2] * 2
