"""MNIST, CIFAR-10 and CIFAR-100, as tensorflow-datasets prepares them."""

import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data.dataset import Dataset
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.tools.files import expanded
from dlgn_keras.tools.internet import reachable
from dlgn_keras.tools.messages import one_line


class Source(NamedTuple):
    """A data set's download address, preprocessing, terms and class names."""

    url: str
    preprocessing: Preprocessing
    terms: str
    class_names: tuple[str, ...]


_CIFAR_TERMS = (
    "A. Krizhevsky, V. Nair and G. Hinton. No licence is stated; cite A. Krizhevsky, "
    "Learning Multiple Layers of Features from Tiny Images, 2009."
)
_CIFAR10_CLASSES = tuple(
    "airplane automobile bird cat deer dog frog horse ship truck".split()
)
_CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy
    bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock
    cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
    forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
    lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange
    orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank
    telephone television tiger tractor train trout tulip turtle wardrobe whale
    willow_tree wolf woman worm
    """.split()
)
# Means and deviations per channel, of the training images divided by 255.
SOURCES = {
    "mnist": Source(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        Preprocessing(scale=1 / 255, raw_range=(0, 255)),
        "Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST Database of Handwritten "
        "Digits, http://yann.lecun.com/exdb/mnist.",
        tuple("0123456789"),
    ),
    "cifar10": Source(
        "https://www.cs.toronto.edu/~kriz/",
        Preprocessing.from_statistics(
            mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
        ),
        _CIFAR_TERMS,
        _CIFAR10_CLASSES,
    ),
    "cifar100": Source(
        "https://www.cs.toronto.edu/~kriz/",
        Preprocessing.from_statistics(
            mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)
        ),
        _CIFAR_TERMS,
        _CIFAR100_CLASSES,
    ),
}


def read_prepared(
    name: str, data_dir: str | os.PathLike[str] | None = None, download: bool = True
) -> Dataset:
    """Return a set from a prepared folder, downloading it first if necessary.

    Args:
        name: "mnist", "cifar10" or "cifar100".
        data_dir: the tensorflow-datasets folder; None is its own default, which
            the variable TFDS_DATA_DIR sets.
        download: whether to download and prepare a missing set.

    Raises:
        ImportError: tensorflow or tensorflow-datasets is not installed.
        FileNotFoundError: the set is not there and cannot or may not be fetched.
        OSError: the prepared folder cannot be read.
    """
    _check_installed(name)
    with quiet():
        builder = _builder(name, data_dir)
    if not (builder.data_path / "dataset_info.json").exists():
        _prepare(name, builder, download)
    with quiet():
        parts = _read(name, builder)
    source = SOURCES[name]
    return Dataset(
        name=name,
        num_classes=len(source.class_names),
        class_names=source.class_names,
        preprocessing=source.preprocessing,
        terms=source.terms,
        **parts,
    )


def _check_installed(name: str) -> None:
    modules = ("tensorflow", "tensorflow_datasets", "importlib_resources")
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise ImportError(
            f"Data set {name!r} needs {', '.join(missing)}: "
            "`pip install tensorflow tensorflow-datasets importlib_resources`, or give "
            "an .npz file with x_train, y_train, x_test, y_test instead of the name."
        )


def _builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError

    folder = None if data_dir is None else expanded(data_dir, "data_dir")
    try:
        return tfds.builder(name, data_dir=folder)
    except ParseError as error:  # its dataset_info.json is not whole
        where = folder or "the tensorflow_datasets folder"
        raise _unreadable(name, where, error) from None


def _unreadable(name: str, folder: Any, error: Exception) -> OSError:
    reason = re.sub(r"\{\{.*?\}\} ?", "", str(error).splitlines()[0])
    return OSError(
        f"Data set {name!r} in {folder} cannot be read. Delete it there and prepare it "
        f"again: {reason}"
    )


def _prepare(name: str, builder: Any, download: bool) -> None:
    """Download and prepare a set, or raise an error that lists the alternatives."""
    from requests import RequestException

    url = SOURCES[name].url
    cause = None
    if not download:
        reason = "download is off"
    # Without a network tensorflow-datasets itself retries for minutes.
    elif not reachable(url):
        reason = f"{url} cannot be reached"
    else:
        try:
            builder.download_and_prepare()
            return
        except Exception as error:  # of any library on the way
            if isinstance(error, OSError) and not isinstance(error, RequestException):
                raise  # a full disk or a folder without rights: no question of network
            cause = error
            reason = f"the download failed ({one_line(error)})"
    folder = builder.data_path.parent.parent
    raise FileNotFoundError(
        f"Data set {name!r} is not in {folder}, and {reason}. Online: run again with "
        "a network and download on, or prepare it with "
        f"""`python -c "import tensorflow_datasets as t; t.load('{name}')"`. """
        f"Offline: prepare it elsewhere, copy that tensorflow_datasets folder and set "
        f"TFDS_DATA_DIR to the copy, or give an .npz file with x_train, y_train, "
        "x_test, y_test instead of the name."
    ) from cause


def _read(name: str, builder: Any) -> dict[str, np.ndarray]:
    """Return both splits as arrays, in the order in which the files hold them."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    _leave_the_gpu_alone(tf)
    parts = {}
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    try:
        for split in ("train", "test"):
            with tf.device("CPU:0"):
                whole = builder.as_dataset(
                    split=split,
                    batch_size=-1,
                    as_supervised=True,
                    shuffle_files=False,
                    read_config=config,
                )
            parts[f"x_{split}"], parts[f"y_{split}"] = tfds.as_numpy(whole)
    except (tf.errors.OpError, ValueError) as error:
        raise _unreadable(name, builder.data_path, error) from None
    return parts


def _leave_the_gpu_alone(tf: Any) -> None:
    """Keep TensorFlow off the GPUs where it only reads files for another backend."""
    import keras

    if keras.config.backend() != "tensorflow":
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            pass  # TensorFlow is running already: its devices are the user's choice


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log messages of TensorFlow and absl in the `with` block."""
    logger, variable = logging.getLogger("absl"), "TF_CPP_MIN_LOG_LEVEL"
    level, before = logger.level, os.environ.get(variable)
    if before in (None, "1"):  # 1 is what JAX sets on its own; the rest, the user
        os.environ[variable] = "3"
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before
