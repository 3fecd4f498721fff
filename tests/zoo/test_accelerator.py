"""Short hours: what ends is run, what does not is kept, and all of it is packed."""

import sys
import tarfile
import time

import accelerator
import build
import manifest
import pytest
import shelf

from dlgn_keras.presets import verify
from dlgn_keras.tools.files import read_json
from dlgn_keras.training import Recipe, Result

NAMES = ["dnn_fc_digits-0", "dlgn_fc_digits-0"]


def unpack(parts, name, folder):
    """As `cat NAME.tar.* | tar x`."""
    whole = folder / f"{name}.tar"
    paths = sorted(parts.glob(f"{name}.tar.*"))
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    with tarfile.open(whole) as tar:
        tar.extractall(folder, filter="data")
    return [path.stat().st_size for path in paths]


def call(monkeypatch, minutes):
    options = ["--accelerator", "--minutes", minutes, "--seeds", "1", "--out", "day"]
    names = [name[:-2] for name in NAMES]
    monkeypatch.setattr(sys, "argv", ["build.py", *names, *options])
    assert build.main() == 0


def test_two_short_days_end_two_runs_and_pack_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(accelerator, "PACKING", -1.0)  # a day of a second
    monkeypatch.setattr(accelerator, "PART", 200_000)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    call(monkeypatch, "0")
    said = capsys.readouterr().out
    assert f"{NAMES[0]}: does not end today; its checkpoint is kept" in said
    assert (tmp_path / "day/runs" / NAMES[0] / "checkpoint.npz").is_file()
    assert not (tmp_path / "day/presets").exists()
    paces = read_json(tmp_path / "day/runs/pace.json")
    assert paces[NAMES[0]]["done"] in (1, 2)
    assert paces[NAMES[0]]["epoch"] > 0

    call(monkeypatch, "5")
    said = capsys.readouterr().out
    assert [f"{name}: ended" in said for name in NAMES] == [True, True]
    for name in ("presets", "tables", "runs"):
        there = tmp_path / "there" / name
        there.mkdir(parents=True)
        sizes = unpack(tmp_path / "day/parts", name, there)
        assert max(sizes) <= 200_000
    assert len(list((tmp_path / "day/parts").glob("presets.tar.*"))) > 1
    for name in NAMES:
        preset = tmp_path / "there/presets" / name[:-2]
        assert verify(preset).golden_error < 1e-3
        assert shelf.seeds_done(preset) == [0]
    run = read_json(tmp_path / "there/runs" / NAMES[0] / "result.json")
    assert run["interruptions"] == 1
    rows = read_json(tmp_path / "there/tables/accuracy.json")
    assert list(rows) == NAMES
    assert {"last", "best", "mirrored too"} <= set(rows[NAMES[0]])
    assert "hard gates" in rows[NAMES[1]]
    assert "hard gates" not in rows[NAMES[0]]
    assert rows[NAMES[1]]["last"] > 0.9


def test_trials_are_judged_on_images_held_out(tmp_path, monkeypatch, capsys):
    for name, recipe in manifest.trials().items():
        assert recipe.validation == manifest.HELD_OUT, name
        assert recipe.family in name
    fast = Recipe(skeleton="fc:depth=1,width=8", epochs=1, validation=200)
    monkeypatch.setattr(manifest, "trials", lambda: {"some-0-dlgn": fast})
    monkeypatch.setattr(accelerator, "PACKING", 0.0)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    options = ["--accelerator", "--trials", "--out", str(tmp_path / "day")]
    monkeypatch.setattr(sys, "argv", ["build.py", *options])
    assert build.main() == 0
    (row,) = read_json(tmp_path / "day/tables/trials.json").values()
    result = Result.load(tmp_path / "day/runs/some-0-dlgn")
    assert row["held out"] == result.validation_accuracy
    assert result.data["validation"] == 200
    assert "test" not in (tmp_path / "day/tables/trials.md").read_text()
    assert "tables.tar.000" in capsys.readouterr().out


class Clock:
    """A clock that only work moves."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def fake_queue(clock, seconds):
    """Runs whose epochs take so long, ten of them; which did how many rounds."""
    done = dict.fromkeys(seconds, 0)

    def run(name, callbacks):
        (pace,) = callbacks
        pace.set_params({"epochs": 10})
        for epoch in range(done[name], 10):
            pace.on_epoch_begin(epoch)
            clock.now += seconds[name]
            done[name] += 1
            pace.on_epoch_end(epoch)

    recipe = Recipe(epochs=10)
    queue = [
        (name, recipe, lambda callbacks, name=name: run(name, callbacks))
        for name in seconds
    ]
    return queue, done


def test_what_will_not_end_leaves_its_time_to_what_will(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    paces = accelerator.Paces(tmp_path / "pace.json")
    queue, done = fake_queue(clock, {"long": 9.0, "short": 2.0})
    ended = accelerator.run_queue(queue, paces, 60.0, say=lambda line: None)
    assert ended == ["short"]
    assert done["short"] == 10
    assert done["long"] == 4  # one to know its pace, the others in the time left
    assert clock.now <= 60
    assert paces.needed("long", 6) == pytest.approx(54)

    # Another day: its pace is known and six epochs are left, so that it ends.
    clock.now = 0.0
    again = accelerator.Paces(tmp_path / "pace.json")
    assert again.done("long") == 4
    ended = accelerator.run_queue(queue[:1], again, 55.0, say=lambda line: None)
    assert ended == ["long"]
    assert clock.now == pytest.approx(54)

    # A day too short for what is left of it starts nothing.
    queue, done = fake_queue(clock, {"long": 9.0})
    clock.now, again.known["long"]["done"] = 0.0, 0
    assert accelerator.run_queue(queue, again, 8.0) == []
    assert done["long"] == 0


def test_parts_are_whole_and_small(tmp_path, rng):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    content = rng.bytes(100_000)
    (folder / "deep/file").write_bytes(content)
    folders = {"some": folder, "none": tmp_path / "absent"}
    parts = accelerator.pack(folders, tmp_path / "out", 30_000)
    sizes = [part.stat().st_size for part in parts]
    assert max(sizes) == 30_000
    assert len(sizes) == 4
    unpack(tmp_path / "out", "some", tmp_path / "out")
    assert (tmp_path / "out/deep/file").read_bytes() == content
    (folder / "deep/file").write_bytes(b"little")
    assert len(accelerator.pack(folders, tmp_path / "out", 30_000)) == 1
    assert len(list((tmp_path / "out").glob("some.tar.*"))) == 1
