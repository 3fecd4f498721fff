"""Random skeletons, random moments of a kill, random damage to every file we write.

Slow: `pytest -m slow tests/test_fuzz.py --seed fresh`. FUZZ_SECONDS is what each part
may take (60 if not set). Every part prints its seed and what it counted.
"""

import csv
import json
import os
import shutil
import time
import warnings

import forked
import numpy as np
import oracle
import pytest

import dlgn_keras as dk
from dlgn_keras import kernels
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Skeleton,
)
from dlgn_keras.training import Recipe, Result, checkpoint, fit, load_trained

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
# Explanations are float32 sums; the oracles count in float64.
CLOSE = {"rtol": 2e-3, "atol": 2e-4}


@pytest.fixture
def fuzz(request, capsys):
    """(numpy generator, whether there is time left, counts to print at the end)."""
    seed = int(np.random.SeedSequence(request.config.seed).generate_state(1)[0])
    started, counts = [], {}

    def left():  # from its first call on: the right answers are made before
        started.append(time.monotonic())
        return started[-1] < started[0] + SECONDS

    yield np.random.default_rng(seed), left, counts
    with capsys.disabled():
        print(f"\n{request.node.name}: seed {request.config.seed}, {counts}")


def count(counts, *names):
    for name in names:
        counts[name] = counts.get(name, 0) + 1


def told_in_lines(error, *where):
    """Nothing, if a refusal is one line."""
    if "\n" in str(error):
        raise AssertionError(f"more than a line, {where}: {error}")
    return ()


# -- skeletons ---------------------------------------------------------------


def draw_conv(rng, channels):
    """A convolution with any options, and the channels it leaves."""
    groups = int(rng.choice([k for k in (1, 1, 1, 2) if channels % k == 0]))
    filters = groups * int(rng.integers(1, 3))
    strides, dilation = ((1, 1), (2, 1), (1, 2))[rng.integers(3)]
    return Conv(
        filters, int(rng.integers(1, 4)), strides,
        str(rng.choice(["same", "valid", "circular"])), bool(rng.random() < 0.3),
        bool(rng.random() < 0.8), dilation=dilation, groups=groups,
    ), filters  # fmt: skip


def draw_block(rng, channels, depth):
    """A residual block whose ways keep the shape, perhaps with one inside."""

    def keeping():
        return Conv(
            channels, int(rng.integers(1, 4)),
            padding=str(rng.choice(["same", "circular"])),
            batch_norm=bool(rng.random() < 0.3), gated=bool(rng.random() < 0.7),
        )  # fmt: skip

    body = [keeping()]
    if depth and rng.random() < 0.5:
        body.append(draw_block(rng, channels, depth - 1))
    shortcut = (keeping(),) if rng.random() < 0.4 else ()
    return Residual(tuple(body), shortcut, gated=bool(rng.random() < 0.6))


def draw_skeleton(rng):
    """A skeleton and an input shape; not every one fits."""
    rank = int(rng.integers(1, 3))
    channels = int(rng.integers(1, 3))
    shape = (*(int(n) for n in rng.integers(2, 6, rank)), channels)
    stages = []
    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(["conv", "conv", "block", "average", "max"])
        if kind == "conv":
            stage, channels = draw_conv(rng, channels)
        elif kind == "block":
            stage = draw_block(rng, channels, depth=1)
        else:
            pool = AveragePool if kind == "average" else MaxPool
            stage = pool(int(rng.integers(1, 3)))
        stages.append(stage)
    stages.append(GlobalPool() if rng.random() < 0.5 else Flatten())
    if rng.random() < 0.5:
        stages.append(Dense(int(rng.integers(1, 4)), bool(rng.random() < 0.3)))
    return Skeleton(tuple(stages)), shape


def shaken(net, rng):
    """Give every weight, and batch norm's averages, numbers of its own."""
    for variable in net.weights:
        numbers = rng.normal(0, 0.5, variable.shape)
        if "variance" in variable.path or "gamma" in variable.path:
            numbers = np.abs(numbers) + 0.5
        if "seed" not in variable.path:
            variable.assign(numbers.astype("float32"))
    return net


def test_random_skeletons_are_explained_in_full_and_are_sums_over_paths(fuzz):
    rng, left, counts = fuzz
    while left():
        skeleton, shape = draw_skeleton(rng)
        family = str(rng.choice(list(dk.models.FAMILIES)))
        try:
            net = dk.models.FAMILIES[family](skeleton, shape, 2, seed=0)
        except ValueError as error:
            count(counts, "refused", *told_in_lines(error))
            continue
        x = rng.normal(size=(2, *shape)).astype("float32")
        logits = shaken(net, rng).predict_on_batch(x)
        told = f"{family} {skeleton} {shape}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = dk.interpret.explain(net, x)
        rows = np.arange(2), found.target
        total = found.contributions.reshape(2, -1).sum(1) + found.bias
        np.testing.assert_allclose(found.logits, logits, **CLOSE, err_msg=told)
        np.testing.assert_allclose(total, logits[rows], **CLOSE, err_msg=told)
        count(counts, "explained")
        try:
            by_paths = oracle.logits_by_paths(net, x, max_paths=3000)
        except ValueError:
            count(counts, "too many paths")
            continue
        np.testing.assert_allclose(logits, by_paths, **CLOSE, err_msg=told)
        count(counts, "walked")
    assert counts["walked"] > 3


# -- kills -------------------------------------------------------------------

RECIPE = Recipe(
    skeleton="c4gap:width=2,depth=2", augmentation="shift_flip", optimizer="adam",
    num_train=60, num_test=20, batch_size=16, epochs=5, seed=3,
)  # fmt: skip
COMMON = """
import os, pathlib, sys
import numpy as np, dlgn_keras as dk
from dlgn_keras.training import Recipe, fit
folder, begun, text = sys.argv[1:]
net = dk.DLGN("c4gap:width=2,depth=1", (6, 6, 1), 2, seed=1)
x = np.random.default_rng(0).normal(size=(40, 6, 6, 1)).astype("f4")
net.predict_on_batch(x[:8])
pathlib.Path(begun).touch()
"""
WORK = {
    "fit": "fit(Recipe.from_json(text), folder, progress=False)",
    "npk": "dk.kernels.npk(net, x, folder=folder, batch_size=4, threads=1)",
    "preset": "net.save_to_preset(folder, overwrite=True)",
    "search": """
model = dk.tuning.GatedHyperModel(
    space={"width": [2, 3], "learning_rate": [0.01, 0.02]}, data="digits", epochs=2,
    skeleton="fc:depth=1", optimizer="sgd", num_train=60, num_test=20, validation=20)
dk.tuning.search(
    model, folder, algorithm="grid", retrain_seeds=0, progress=False)
""",
}


def killed_at(work, folder, wait, log):
    """Start the work, kill it `wait` seconds after it began; its seconds if it ended.

    With `wait` None it is left to its end.
    """
    begun = log / "begun"
    begun.unlink(missing_ok=True)
    program = forked.start(
        COMMON + WORK[work], folder, begun, RECIPE.to_json(), folder=log
    )
    while not begun.exists() and program.poll() is None:
        time.sleep(0.005)
    start = time.monotonic()
    if wait is not None:
        program.process.join(wait)
        program.kill()
    code = program.wait()
    assert code in (0, forked.KILLED), program.errors()
    return time.monotonic() - start if code == 0 else None


def weights_of(folder):
    return load_trained(str(folder)).get_weights()


def same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def finished(work, folder, log):
    """What the work leaves once it is called again and comes to its end."""
    killed_at(work, folder, None, log)
    if work == "fit":
        return weights_of(folder)
    if work == "npk":
        return [np.load(folder / "gram.npy")]
    if work == "preset":
        return dk.from_preset(folder).get_weights()
    with (folder / "trials.csv").open() as file:
        rows = sorted((row["trial"], row["score"]) for row in csv.DictReader(file))
    return [np.array(rows)]


@pytest.mark.parametrize("work", ["fit", "npk", "preset", "search"])
def test_a_kill_at_any_moment_costs_nothing_but_time(work, fuzz, tmp_path):
    rng, left, counts = fuzz
    log = tmp_path / "log"
    log.mkdir()
    whole = finished(work, tmp_path / "whole", log)
    seconds = killed_at(work, tmp_path / "timed", None, log)
    folder = tmp_path / "run"
    while left():
        for _ in range(rng.integers(1, 4)):
            ended = killed_at(work, folder, rng.uniform(0, 1.1 * seconds), log)
            count(counts, "killed" if ended is None else "ended first")
            if work == "preset" and folder.exists():  # a whole one at every moment
                assert same(dk.from_preset(folder).get_weights(), whole)
        assert same(finished(work, folder, log), whole)
        parts = [p.name for p in folder.rglob("*") if ".part" in p.name]
        assert not parts
        count(counts, "the same bits")
        shutil.rmtree(folder)


# -- damage ------------------------------------------------------------------

ODD = [b"", b"{}", b"[]", b"null", b"3", b'"text"', b"[[", b"\xff\xfe\x00", b"[" * 9999]


def damage(rng, content):
    """Return other bytes, and what was done to them."""
    how = str(rng.choice(["bits", "cut", "zeros", "odd", "twice", "json"]))
    other = bytearray(content)
    at = int(rng.integers(len(content)))
    if how == "bits":
        for _ in range(rng.integers(1, 4)):
            other[rng.integers(len(other))] ^= 1 << rng.integers(8)
    elif how == "cut":
        del other[at:]
    elif how == "zeros":
        other[at : at + 64] = bytes(len(other[at : at + 64]))
    elif how == "odd":
        other = ODD[rng.integers(len(ODD))]
    elif how == "twice":
        other += content[:at]
    else:
        other, how = odd_json(rng, content), "json"
    return bytes(other), how


def odd_json(rng, content):
    """Put a value of another type at a random place of a json file."""
    try:
        value = json.loads(content)
    except ValueError:
        return content[: len(content) // 2]
    places = []

    def walk(node):
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    if isinstance(value, dict | list):
        walk(value)
    node, key = places[rng.integers(len(places))]
    odd = [None, {}, [], "x", -1, 1.5, True, 10**30, [[]], {"a": 1}]
    node[key] = odd[rng.integers(len(odd))]
    return json.dumps(value).encode()


def files_we_write(folder):
    """{name: (file, reader -> arrays, whether digits are covered by a checksum)}."""
    net = dk.DLGN("fc:depth=1,width=4", (64,), 10, seed=0)
    x = np.random.default_rng(0).normal(size=(6, 64)).astype("float32")
    recipe = Recipe(skeleton="fc:depth=1,width=4", epochs=2, num_train=60, num_test=20)
    run, gram, preset = (folder / name for name in ("run", "gram", "preset"))
    with pytest.MonkeyPatch.context() as patch:
        import pathlib

        patch.setattr(pathlib.Path, "unlink", lambda self, **_: None)
        fit(recipe, run, progress=False)  # the checkpoint stays
    kernels.npk(net, x, folder=gram, batch_size=2)
    net.save_to_preset(preset)
    net.save(folder / "net.keras")
    with np.load(run / "checkpoint.npz") as stored:
        facts = json.loads(stored["meta"].tobytes())
    facts = {name: facts[name] for name in ("fingerprint", "backend", "data")}

    def result():
        found = Result.load(run)
        return [np.zeros(0)] if isinstance(found.history, list) else []

    def kernel():
        kept = {p: p.read_bytes() for p in gram.iterdir()}
        try:
            return [np.array(kernels.npk(net, x, folder=gram, batch_size=2))]
        finally:
            for path in gram.iterdir():
                path.unlink()
            for path, content in kept.items():
                path.write_bytes(content)

    def recipes():
        Recipe.from_file(run / "recipe.json")
        return []

    def from_preset():
        return dk.from_preset(preset).get_weights()

    return {
        "checkpoint": (run / "checkpoint.npz", lambda: checkpoint.read(
            run / "checkpoint.npz", facts)[1]),
        "result": (run / "result.json", result),
        "recipe": (run / "recipe.json", recipes),
        "model.keras": (folder / "net.keras", lambda: weights_of(folder / "net.keras")),
        "gram": (gram / "gram.npy", kernel),
        "manifest": (gram / "manifest.json", kernel),
        "config": (preset / "config.json", from_preset),
        "weights": (preset / "model.weights.h5", from_preset),
        "metadata": (preset / "metadata.json", from_preset),
        "golden": (preset / "golden.npz", from_preset),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_damage_to_any_file_is_refused_or_changes_nothing(fuzz, tmp_path):
    rng, left, counts = fuzz
    files = files_we_write(tmp_path)
    right = {name: reader() for name, (_, reader) in files.items()}
    while left():
        name = list(files)[rng.integers(len(files))]
        path, reader = files[name]
        content = path.read_bytes()
        other, how = damage(rng, content)
        path.write_bytes(other)
        try:
            found = reader()
            assert same(found, right[name]), (name, how)
            count(counts, f"{name} right")
        except ValueError as error:
            count(counts, f"{name} refused", *told_in_lines(error, name, how))
        except Exception as error:
            place = tmp_path.parent / f"damaged-{path.name}"
            place.write_bytes(other)
            raise AssertionError(
                f"{name}, {how}, kept as {place}: {error!r}"
            ) from error
        finally:
            path.write_bytes(content)
