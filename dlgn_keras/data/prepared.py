"""Find, download and describe sets of tensorflow-datasets."""

import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.tools.files import expanded
from dlgn_keras.tools.internet import reachable
from dlgn_keras.tools.messages import closest, one_line


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


class Asked(NamedTuple):
    """A set of tensorflow-datasets, as NAME[/CONFIG][:VERSION] names it."""

    name: str
    config: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        config = f"/{self.config}" if self.config else ""
        return f"{self.name}{config}" + (f":{self.version}" if self.version else "")


def asked(text: str) -> Asked:
    """Return what NAME[/CONFIG][:VERSION] asks for, or raise a ValueError."""
    found = re.fullmatch(r"(\w+)(?:/([\w.-]+))?(?::(\d+\.\d+\.\d+))?", text)
    if not found:
        raise ValueError(
            "`name` must be tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:1.0.0. "
            f"Received: name={'tfds:' + text!r}."
        )
    return Asked(*found.groups())


def prepared_folder(
    wanted: Asked, data_dir: str | os.PathLike[str] | None = None
) -> Path | None:
    """Return the folder of a prepared set, of the highest version; None if absent.

    It is looked for without tensorflow-datasets, whose import takes seconds.
    """
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    folder = expanded(root, "data_dir") / wanted.name / (wanted.config or "")
    found = [
        path
        for path in folder.glob("*.*.*")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.name)
        and path.name == (wanted.version or path.name)
        and (path / "dataset_info.json").is_file()
    ]
    return max(found, key=lambda p: tuple(map(int, p.name.split("."))), default=None)


def prepare(
    wanted: Asked, data_dir: str | os.PathLike[str] | None, download: bool
) -> Any:
    """Return the builder of a set, downloading and preparing the set if it is absent.

    Raises:
        ImportError: tensorflow or tensorflow-datasets is not installed.
        FileNotFoundError: the set is not there and cannot or may not be fetched.
        ValueError: no such set.
    """
    _check_installed(wanted)
    with quiet():
        builder = _builder(wanted, data_dir)
    if not (builder.data_path / "dataset_info.json").exists():
        _prepare(wanted, builder, download)
    return builder


def _check_installed(wanted: Asked) -> None:
    modules = ("tensorflow", "tensorflow_datasets", "importlib_resources")
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise ImportError(
            f"Data set {str(wanted)!r} needs {', '.join(missing)}: "
            "`pip install tensorflow tensorflow-datasets importlib_resources`, or give "
            "an .npz file with x_train, y_train, x_test, y_test instead of the name."
        )


def _builder(wanted: Asked, data_dir: str | os.PathLike[str] | None) -> Any:
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError

    folder = None if data_dir is None else expanded(data_dir, "data_dir")
    try:
        return tfds.builder(str(wanted), data_dir=folder)
    except ParseError as error:  # its dataset_info.json is not whole
        where = folder or "the tensorflow_datasets folder"
        raise unreadable(wanted, where, error) from None
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
        reason = one_line(str(error).strip().splitlines()[0])
        near = closest(wanted.name, tfds.list_builders())
        raise ValueError(
            "`name` must be a set that tensorflow-datasets knows. Received: "
            f"name='tfds:{wanted}' ({reason}).{near}"
        ) from None


def unreadable(wanted: Any, folder: Any, error: Any) -> OSError:
    """Return the error of a prepared set that is damaged."""
    reason = re.sub(r"\{\{.*?\}\} ?", "", str(error).splitlines()[0])
    return OSError(
        f"Data set {str(wanted)!r} in {folder} cannot be read. Delete it there "
        f"and prepare it again: {reason}"
    )


def _prepare(wanted: Asked, builder: Any, download: bool) -> None:
    """Download and prepare a set, or raise an error that lists the alternatives."""
    from requests import RequestException

    name = str(wanted)
    url = _address(wanted, builder)
    cause = None
    if not download:
        reason = "download is off"
    # Without a network tensorflow-datasets itself retries for minutes.
    elif url and not reachable(url):
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


def _address(wanted: Asked, builder: Any) -> str | None:
    """Return an address that a set is downloaded from, None if it tells none."""
    if wanted.name in SOURCES:
        return SOURCES[wanted.name].url
    try:
        return next(iter(builder.url_infos), None)
    except Exception:  # a builder without a list of checksums
        return None


def leave_the_gpu_alone(tf: Any) -> None:
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
