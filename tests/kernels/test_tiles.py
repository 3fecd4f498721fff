"""Tiles: on disk, over workers, within memory, and what is refused."""

import json
import os
import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras import kernels
from dlgn_keras.kernels import gram, store
from dlgn_keras.kernels.plan import make_plan
from dlgn_keras.kernels.tiles import compute_tile, pair_bytes, read_examples
from dlgn_keras.skeletons import Dense, Residual, Skeleton
from dlgn_keras.tools.files import only_one


@pytest.fixture
def net():
    return tiny.build("dlgn", "gconv", seed=0)


@pytest.fixture
def x(rng):
    return tiny.examples(rng, "gconv", 7)


class Crash(Exception):
    pass


def stop_after(monkeypatch, number):
    """Let a run finish some tiles and then crash; count the tiles computed."""
    computed = []

    def compute(*args, **kwargs):
        if len(computed) == number:
            raise Crash
        computed.append(1)
        return compute_tile(*args, **kwargs)

    monkeypatch.setattr(gram, "compute_tile", compute)
    return computed


def test_crashed_gram_goes_on_where_it_stopped(net, x, tmp_path, monkeypatch):
    whole = kernels.npk(net, x)
    first = stop_after(monkeypatch, 4)
    with pytest.raises(Crash):
        kernels.npk(net, x, batch_size=2, folder=tmp_path)
    assert len(first) == 4
    assert not (tmp_path / "gram.npy").exists()
    second = stop_after(monkeypatch, 100)
    resumed = kernels.npk(net, x, folder=tmp_path)
    assert len(second) == 10 - 4  # 4 * 5 / 2 tiles, four of them done
    assert_close(resumed, whole, "float64")
    third = stop_after(monkeypatch, 0)
    assert np.array_equal(kernels.npk(net, x, folder=tmp_path), resumed)
    assert not third


def test_half_written_tile_is_computed_again(net, x, tmp_path, monkeypatch):
    whole = kernels.npk(net, x)
    stop_after(monkeypatch, 5)
    with pytest.raises(Crash):
        kernels.npk(net, x, batch_size=2, folder=tmp_path)
    notes = tmp_path / "finished.txt"
    last = notes.read_text().splitlines()[-1]
    row, column, *_ = last.split()
    notes.write_text(notes.read_text()[: -len(" ok\n")])  # the crash hit this line
    partial = np.lib.format.open_memmap(tmp_path / "gram.partial.npy", mode="r+")
    partial[int(row) : int(row) + 2, int(column) : int(column) + 2] = 1e9
    partial.flush()
    monkeypatch.undo()
    assert_close(kernels.npk(net, x, folder=tmp_path), whole, "float64")


def test_folder_of_another_gram_is_refused(net, x, tmp_path):
    kernels.npk(net, x, folder=tmp_path)
    for other in (
        lambda: kernels.npk(net, x + 1e-3, folder=tmp_path),
        lambda: kernels.npk(net, x, normalize=True, folder=tmp_path),
        lambda: kernels.npk(net, x, x, folder=tmp_path),
    ):
        with pytest.raises(ValueError, match="hold the Gram of the same model"):
            other()
    weights = net.get_weights()
    net.set_weights([w + 0.01 for w in weights])
    with pytest.raises(ValueError, match="hold the Gram of the same model"):
        kernels.npk(net, x, folder=tmp_path)


def test_finished_folder_names_its_model_and_examples(net, x, tmp_path):
    result = kernels.npk(net, x, folder=tmp_path / "new", batch_size=3)
    manifest = json.loads((tmp_path / "new" / "manifest.json").read_text())
    assert manifest["shape"] == [7, 7]
    assert manifest["tile_size"] == 3
    assert isinstance(result, np.memmap)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        ".lock",
        "gram.npy",
        "manifest.json",
    ]


def test_executors_workers_give_the_same_gram(net, x):
    with ThreadPoolExecutor(2) as executor:
        spread = kernels.npk(net, x, batch_size=2, executor=executor, workers=3)
    assert_close(spread, kernels.npk(net, x), "float64")


def test_executor_never_holds_more_tiles_than_workers(net, x):
    class Counting:
        def __init__(self):
            self.under_way, self.most = 0, 0

        def submit(self, function, *args, **kwargs):
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            future = Future()
            future.set_result(function(*args, **kwargs))
            self.under_way -= future.done()
            return future

    executor = Counting()
    kernels.npk(net, x, batch_size=2, executor=executor, workers=1)
    assert executor.most == 1


@pytest.mark.parametrize(
    ("skeleton", "shape"),
    [
        (dk.skeletons.c4gap(4, 3), (12, 12, 2)),
        (dk.skeletons.resnet(8, (4, 4, 4)), (12, 12, 3)),
        (dk.skeletons.vgg16((4, 4), (2, 1)), (12, 12, 1)),
        (dk.skeletons.vconv((4, 4), (8,)), (12, 12, 1)),
        (dk.skeletons.fc(2, 16), (300,)),
    ],
)
def test_recursion_stays_within_the_memory_it_counts_with(skeleton, shape, rng):
    net = dk.DLGN(skeleton, shape, num_classes=2)
    plan = make_plan(net, normalize=False, bias_paths=True)
    x = read_examples(net, tiny.examples(rng, (None, shape), 8))
    memory = max(4 * pair_bytes(plan), 2**22)
    compute_tile(plan, x, None, memory)
    tracemalloc.start()
    try:
        compute_tile(plan, x, None, memory)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    examples = 8 * sum(v.size for v in [x.inputs, *x.gates.values()])
    rest = peak - examples - 3 * 8 * 8**2 - 2**19  # row buffers and Python's objects
    assert rest < memory
    if pair_bytes(plan) > 2**19:
        assert rest > memory / 20  # the bound is no wild guess


def test_gram_beyond_memory_is_refused_before_it_starts(net, x):
    with pytest.raises(ValueError, match=r"Gram of shape \(7, 7\) needs .* KiB"):
        kernels.npk(net, x, memory=1000)
    with pytest.raises(ValueError, match="give a smaller batch_size"):
        kernels.npk(net, x, memory=20_000, batch_size=500)
    with pytest.raises(ValueError, match="`memory` must be a number of bytes"):
        kernels.npk(net, x, memory=-1)


def test_gram_beyond_the_disk_is_refused_before_it_starts(tmp_path, monkeypatch):
    import shutil

    from dlgn_keras.kernels.store import Store

    free = shutil.disk_usage(tmp_path).free
    side = int((free / 8) ** 0.5) + 1000
    with pytest.raises(ValueError, match="GiB of disk"):
        Store(tmp_path, (side, side), 10, "key").start(10)
    assert not list(tmp_path.glob("gram*"))


def test_inputs_that_do_not_fit_are_named(net, x):
    bad = x.copy()
    bad[0, 0, 0, 0] = np.nan
    for arguments, message in [
        ((net, x[0]), r"`x` must have shape \(n, 3, 3, 1\)"),
        ((net, x, x[:, :2]), r"`y` must have shape \(n, 3, 3, 1\)"),
        ((net, bad), "`x` must be finite. Received: x with 1 NaN"),
        ((net, x, bad), "`y` must be finite"),
        ((net, x.astype(str)), "`x` must be numbers"),
        ((net, x[:0]), "n at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            kernels.npk(*arguments)


def test_models_without_a_kernel_are_named(x):
    import keras

    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"must be a dk\.DNN, dk\.DGN"):
        kernels.npk(other, x)
    free = Skeleton((Dense(2), Residual((Residual((Dense(2),)),))))
    net = dk.DLGN(free, (3,), num_classes=2)
    with pytest.raises(ValueError, match="A branch of 'add_2' must have weights"):
        kernels.npk(net, np.zeros((1, 3)))


def half_done(net, x, folder, monkeypatch, tiles=5):
    stop_after(monkeypatch, tiles)
    with pytest.raises(Crash):
        kernels.npk(net, x, batch_size=2, folder=folder)
    monkeypatch.undo()


def test_a_torn_or_changed_partial_file_is_computed_again(
    net, x, tmp_path, monkeypatch
):
    whole = np.asarray(kernels.npk(net, x, folder=tmp_path / "whole", batch_size=2))
    half_done(net, x, tmp_path, monkeypatch)
    partial = tmp_path / "gram.partial.npy"
    content = partial.read_bytes()
    assert len(content) == 128 + 8 * 7 * 7
    damaged = {
        "cut short": content[:300],
        "empty": b"",
        "longer": content + b"more",
        "a tile": content[:130] + b"\xff" + content[131:],
        "a mirrored tile": content[:-20] + bytes(20),
        "the header": b"\x00" * 128 + content[128:],
    }
    notes = (tmp_path / "finished.txt").read_text()
    for name, other in damaged.items():
        partial.write_bytes(other)
        (tmp_path / "finished.txt").write_text(notes)
        found = kernels.npk(net, x, folder=tmp_path)
        assert np.array_equal(found, whole), name
        (tmp_path / "gram.npy").unlink()


def test_without_checksums_a_torn_partial_file_gives_zeros(
    net, x, tmp_path, monkeypatch
):
    half_done(net, x, tmp_path, monkeypatch)
    os.truncate(tmp_path / "gram.partial.npy", 200)
    monkeypatch.setattr(store.Store, "_good", lambda self, path, notes: notes)
    assert (np.asarray(kernels.npk(net, x, folder=tmp_path)) == 0).sum() > 10


def test_a_changed_finished_gram_is_mended_and_told(net, x, tmp_path):
    whole = np.array(kernels.npk(net, x, folder=tmp_path, batch_size=2))
    path = tmp_path / "gram.npy"
    content = bytearray(path.read_bytes())
    content[200] ^= 4
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged: 1 of its 10 tiles are computed"):
        found = kernels.npk(net, x, folder=tmp_path)
    assert np.array_equal(found, whole)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ValueError, match="with its manifest"):
        kernels.npk(net, x, folder=tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: {},
        lambda m: [],
        lambda m: None,
        lambda m: {**m, "shape": "77"},
        lambda m: {**m, "shape": [7, 7.5]},
        lambda m: {**m, "tile_size": 0},
        lambda m: {**m, "tile_size": True},
        lambda m: {**m, "key": 3},
        lambda m: {**m, "tiles": {"0": 1}},
        lambda m: {**m, "tiles": [[0, 0, 1]]},
        lambda m: {**m, "tiles": [[0, -2, 1, 0]]},
    ],
)
def test_an_odd_manifest_is_refused_in_one_line(change, net, x, tmp_path):
    kernels.npk(net, x[:2], folder=tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=r"manifest\.json(:| is damaged)") as error:
        kernels.npk(net, x[:2], folder=tmp_path)
    assert "\n" not in str(error.value)


def test_a_disk_that_fills_up_ends_in_one_line_and_keeps_what_is_done(
    net, x, tmp_path, monkeypatch
):
    whole = np.asarray(kernels.npk(net, x))
    put = store.Store._put

    def full_at_last(self, file, start, values):
        with open("/dev/full", "r+b", buffering=0) as full:  # no space left, ever
            put(self, full if start == (2, 2) else file, start, values)

    monkeypatch.setattr(store.Store, "_put", full_at_last)
    with pytest.raises(OSError, match="The 4 tiles before are kept") as error:
        kernels.npk(net, x, folder=tmp_path, batch_size=2)
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    computed = stop_after(monkeypatch, 100)
    assert_close(kernels.npk(net, x, folder=tmp_path), whole, "float64")
    assert len(computed) == 6


def test_two_at_work_in_one_folder_are_told(net, x, tmp_path):
    with only_one(tmp_path, "Gram", "folder"):
        with pytest.raises(ValueError, match=r"`folder` must be .* no other Gram"):
            kernels.npk(net, x, folder=tmp_path)
    kernels.npk(net, x, folder=tmp_path)
    with only_one(tmp_path, "Gram", "folder"):  # a finished one is read by all
        kernels.npk(net, x, folder=tmp_path)


def test_what_a_kill_in_finish_leaves_is_removed(net, x, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(self, **_):
        if self.name == "finished.txt":
            raise Killed
        unlink(self, **_)

    unlink = type(tmp_path).unlink
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "unlink", killed)
        with pytest.raises(Killed):
            kernels.npk(net, x, folder=tmp_path)
    assert (tmp_path / "finished.txt").exists()
    kernels.npk(net, x, folder=tmp_path)
    assert not (tmp_path / "finished.txt").exists()


@pytest.mark.parametrize("value", [1e300, -1e39])
def test_inputs_beyond_float32_are_refused(value):
    net = dk.DLGN("fc:depth=1,width=4", (3,), 3, seed=0)
    with pytest.raises(ValueError, match=r"`x` must be finite.*infinite in float32"):
        kernels.npk(net, np.full((2, 3), value))


def test_gates_that_are_no_numbers_give_no_kernel():
    net = dk.DGN("fc:depth=1,width=4", (2,), 3, gate="soft", seed=0)
    for weight in net.gating_network.weights:
        weight.assign(np.ones(weight.shape) * 10)
    x = np.array([[3e38, -3e38]])  # infinite less infinite
    with pytest.raises(ValueError, match="gates and kernel are finite"):
        kernels.npk(net, x)
