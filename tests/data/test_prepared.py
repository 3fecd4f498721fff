"""mnist, cifar10, cifar100: a real, tiny prepared folder, and each way to lack one."""

import logging
import os
import shutil
import socket
import sys
import time
from urllib.parse import urlsplit

import forked
import numpy as np
import pytest
import tensorflow_datasets as tfds

from dlgn_keras.data import class_names, load
from dlgn_keras.data.prepared import SOURCES, quiet

SIZES = {"train": 50, "test": 11}


def pictures(split):
    rng = np.random.default_rng(len(split))
    x = rng.integers(0, 256, (SIZES[split], 28, 28, 1), dtype=np.uint8)
    return x, rng.integers(0, 10, SIZES[split])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a folder that holds `mnist` as tensorflow-datasets itself writes it."""
    folder = tmp_path_factory.mktemp("tfds")
    builder = tfds.builder("mnist", data_dir=folder)
    builder.data_path.mkdir(parents=True)
    writer = tfds.core.SequentialWriter(
        builder.info, max_examples_per_shard=20, file_format="tfrecord"
    )
    writer.initialize_splits(list(SIZES))
    for split in SIZES:
        rows = [{"image": x, "label": y} for x, y in zip(*pictures(split), strict=True)]
        writer.add_examples({split: rows})
    writer.close_all()
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """Return a copy of that folder, to be damaged."""
    return shutil.copytree(whole, tmp_path / "copy")


@pytest.fixture
def offline(monkeypatch):
    """Put mnist at an address where nobody listens."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setitem(SOURCES, "mnist", SOURCES["mnist"]._replace(url=url))
    return url


def test_the_pictures_come_back_in_order(whole):
    mnist = load("mnist", data_dir=whole)
    for split in SIZES:
        x, y = pictures(split)
        np.testing.assert_array_equal(getattr(mnist, f"x_{split}"), x)
        np.testing.assert_array_equal(getattr(mnist, f"y_{split}"), y)
        assert getattr(mnist, f"x_{split}").dtype == np.uint8
        assert getattr(mnist, f"y_{split}").dtype == np.int64
    assert not np.array_equal(mnist.x_train, pictures("train")[0][::-1])
    assert mnist.num_classes == 10
    assert mnist.class_names == tuple("0123456789")
    assert mnist.preprocessing.apply(mnist.x_train).max() == pytest.approx(1)


@pytest.mark.parametrize(("name", "count"), [("cifar10", 10), ("cifar100", 100)])
def test_the_names_of_the_classes_are_in_the_archives_order(name, count):
    names = class_names(name)
    assert list(names) == sorted(set(names))
    assert len(names) == count


def test_the_variable_for_the_folder_is_honoured(tmp_path):
    # tensorflow-datasets reads it on import: so in a process that has not yet.
    code = "from dlgn_keras.data import load; load('mnist', download=False)"
    folder = {"folder": tmp_path / "told", "TFDS_DATA_DIR": str(tmp_path)}
    program = forked.start(code, **folder)
    assert program.wait() == 1
    last = program.errors().splitlines()[-1]
    assert f"FileNotFoundError: Data set 'mnist' is not in {tmp_path}, and" in last


def test_a_set_that_is_there_needs_no_network(whole, offline):
    assert len(load("mnist", data_dir=whole, download=True).y_test) == 11


def check_advice(message, folder):
    assert f"Data set 'mnist' is not in {folder}, and " in message
    for advice in ("Online: run again", "Offline: ", "TFDS_DATA_DIR", ".npz", "y_test"):
        assert advice in message
    assert "\n" not in message


def test_without_a_network_one_message_comes_within_seconds(tmp_path, offline):
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match="cannot be reached") as caught:
        load("mnist", data_dir=tmp_path)
    assert time.monotonic() - start < 6
    check_advice(str(caught.value), tmp_path)
    assert offline in str(caught.value)


def test_with_download_off_the_network_is_not_asked(tmp_path):
    with pytest.raises(FileNotFoundError, match="download is off") as caught:
        load("mnist", data_dir=tmp_path, download=False)
    check_advice(str(caught.value), tmp_path)


def test_a_folder_still_being_written_is_not_taken_for_whole(folder):
    (folder / "mnist" / "3.0.1" / "dataset_info.json").unlink()
    with pytest.raises(FileNotFoundError, match="download is off"):
        load("mnist", data_dir=folder, download=False)


@pytest.mark.parametrize("damage", ["cut", "removed", "changed", "no information"])
def test_a_damaged_folder_is_named(folder, damage):
    home = next((folder / "mnist").iterdir())
    records = next(home.glob("mnist-train.tfrecord-00001*"))
    if damage == "cut":
        records.write_bytes(records.read_bytes()[:-50])
    elif damage == "removed":
        records.unlink()
    elif damage == "changed":
        content = bytearray(records.read_bytes())
        content[len(content) // 2] ^= 0xFF
        records.write_bytes(content)
    else:
        (home / "dataset_info.json").write_text("")
    with pytest.raises(OSError, match=r"cannot be read\. Delete it there") as caught:
        load("mnist", data_dir=folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "module", ["tensorflow", "tensorflow_datasets", "importlib_resources"]
)
def test_what_is_not_installed_is_named_with_the_command(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(ImportError, match=f"needs {module}: `pip install ") as caught:
        load("mnist", data_dir=tmp_path)
    assert ".npz" in str(caught.value)


def test_loading_leaves_logging_and_environment_as_they_were(whole, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    level, environment = logging.getLogger("absl").level, dict(os.environ)
    load("mnist", data_dir=whole)
    assert logging.getLogger("absl").level == level
    assert dict(os.environ) == environment


@pytest.mark.parametrize(("before", "within"), [("1", "3"), ("0", "0"), ("2", "2")])
def test_only_the_log_level_that_jax_sets_is_overruled(monkeypatch, before, within):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", before)
    with quiet():
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == within
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == before


@pytest.mark.parametrize("name", SOURCES)
def test_the_address_asked_is_the_one_downloaded_from(name, tmp_path):
    urls = tfds.builder(name, data_dir=tmp_path).url_infos
    hosts = {urlsplit(url).hostname for url in urls}
    assert urlsplit(SOURCES[name].url).hostname in hosts
    other = "cifar10" if name == "mnist" else "mnist"
    assert urlsplit(SOURCES[other].url).hostname not in hosts


@pytest.mark.parametrize(("name", "channels"), [("cifar10", 3), ("cifar100", 3)])
def test_colour_sets_have_numbers_for_each_channel(name, channels):
    preprocessing = SOURCES[name].preprocessing
    black, white = preprocessing.apply([[0] * channels, [255] * channels])
    # Zero mean and unit deviation put black about two below and white two above.
    assert np.all((-2.1 < black) & (black < -1.5))
    assert np.all((1.8 < white) & (white < 2.3))
