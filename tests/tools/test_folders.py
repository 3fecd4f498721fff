"""A folder that is overwritten is never lost, wherever a kill falls."""

import os
import signal
import subprocess
import sys

import forked
import pytest

from dlgn_keras.tools import folders
from dlgn_keras.tools.folders import recover, write_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(folder, text):
    with write_folder(folder) as part:
        (part / "text").write_text(text)


# Kills itself at its n-th change of the folder that holds the place.
KILLED = """
import os, pathlib, shutil, signal, sys
from dlgn_keras.tools import folders
place, limit = pathlib.Path(sys.argv[1]), int(sys.argv[2])
done = [0]
def counted(change):
    def call(path, *rest, **options):
        if pathlib.Path(path).parent == place.parent:
            if done[0] == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            done[0] += 1
        return change(path, *rest, **options)
    return call
for name in ("rename", "mkdir"):
    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
shutil.rmtree = counted(shutil.rmtree)
with folders.write_folder(place) as part:
    (part / "text").write_text("new")
"""


@pytest.mark.skipif(os.name != "posix", reason="kills by SIGKILL")
def test_a_killed_writer_leaves_the_old_or_the_new_folder(tmp_path):
    ends = []
    for limit in range(12):
        place = tmp_path / str(limit) / "mine"
        fill(place, "old")
        process = forked.start(
            KILLED, place, limit, folder=tmp_path / "printed" / str(limit)
        )
        code = process.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL, process.errors()
        found = "gap" if not place.exists() else (place / "text").read_text()
        ends.append(found)
        recover(place.parent)
        assert (place / "text").read_text() == ("old" if found == "gap" else found)
        assert names(place.parent) == ["mine"]
        fill(place, "newer")
        assert (place / "text").read_text() == "newer"
    # Seen to kill before, between and after the two steps.
    assert list(dict.fromkeys(ends)) == ["old", "gap", "new"]


def test_what_a_running_process_writes_is_left_alone(tmp_path):
    with write_folder(tmp_path / "mine") as part:
        recover(tmp_path)
        fill(tmp_path / "other", "a second writer beside it")
        assert part.is_dir()
    assert names(tmp_path) == ["mine", "other"]


def test_a_reader_in_the_gap_brings_the_old_back_and_the_new_arrives(
    tmp_path, monkeypatch
):
    place = tmp_path / "mine"
    fill(place, "old")
    rename, seen = folders.Path.rename, []

    def slow(path, target):
        if path.name.startswith(".part-") and len(seen) < 3:
            recover(tmp_path)
            seen.append((place / "text").read_text())
        return rename(path, target)

    monkeypatch.setattr(folders.Path, "rename", slow)
    fill(place, "new")
    assert seen == ["old"] * 3
    assert (place / "text").read_text() == "new"
    assert names(tmp_path) == ["mine"]


def test_of_two_old_folders_the_last_one_comes_back(tmp_path):
    """The first is rubbish of a writer killed after its two steps."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = f"{folders._host()}-{ended.pid}-1"
    for text, thread in (("rubbish", "b"), ("old", "a")):
        fill(tmp_path / "mine", text)
        (tmp_path / "mine").rename(tmp_path / f".old-mine.{owner}-{thread}")
    recover(tmp_path)
    assert names(tmp_path) == ["mine"]
    assert (tmp_path / "mine" / "text").read_text() == "old"


def test_other_machines_and_other_names_are_left_alone(tmp_path):
    kept = [".part-mine", ".old-mine.77", ".part-mine.elsewhere-7-7-a", ".git"]
    for name in kept:
        (tmp_path / name).mkdir()
    recover(tmp_path)
    assert names(tmp_path) == sorted(kept)
