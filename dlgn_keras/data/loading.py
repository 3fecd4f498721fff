"""Load a data set by its name, or from a file."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dlgn_keras.data.dataset import Dataset, stratified_indices
from dlgn_keras.data.mnist1d import read_mnist1d
from dlgn_keras.data.npz import read_npz
from dlgn_keras.data.oblique import SIZES, oblique_dataset
from dlgn_keras.data.prepared import SOURCES, read_prepared
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.tools.files import expanded
from dlgn_keras.tools.messages import closest


def read_digits() -> Dataset:
    """Return scikit-learn's bundled digits: 8 x 8 grey images, values 0 to 16.

    1797 images, split once and for all into 1437 to train and 360 to test:
    stratified by class, seed 0.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    y = labels.astype(np.int64)
    test = np.zeros(len(y), bool)
    test[stratified_indices(y, 360, 0)] = True
    return Dataset(
        name="digits",
        x_train=x[~test],
        y_train=y[~test],
        x_test=x[test],
        y_test=y[test],
        num_classes=10,
        preprocessing=Preprocessing(scale=1 / 16, raw_range=(0, 16)),
        terms=(
            "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits "
            "(test part), UCI Machine Learning Repository, 1998. CC BY 4.0; "
            "bundled with scikit-learn."
        ),
    )


BUNDLED: dict[str, Callable[[], Dataset]] = {
    "digits": read_digits,
    "mnist1d": read_mnist1d,
}
NAMES = (*BUNDLED, *SOURCES, *SIZES)


def load(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    seed: int | None = None,
) -> Dataset:
    """Return a data set by name, or from your own .npz file.

    | name | what | preprocessing |
    | --- | --- | --- |
    | digits | scikit-learn's 8 x 8 digits, 1437 train and 360 test (stratified, seed 0) | x / 16 |
    | mnist1d | series (40, 1) of ten classes, 4000 and 1000, made by the published generator | none |
    | mnist | 28 x 28 x 1, 60000 and 10000 | x / 255 |
    | cifar10, cifar100 | 32 x 32 x 3, 50000 and 10000 | mean and deviation per channel |
    | sdi, sdii, sdiii | labels of a random oblique tree, see `oblique_dataset` | none |
    | *.npz | x_train, y_train, x_test, y_test | integers: own mean and deviation; floats: none |

    mnist, cifar10 and cifar100 come from tensorflow-datasets: a prepared folder is
    used if there is one, else the set is downloaded. A folder that holds
    <name>.npz works too, and needs no TensorFlow. A missing set is never replaced by
    another. Inputs are raw (pixels stay integers); a model
    applies `Dataset.preprocessing` itself.

    Args:
        name: a name of the table, or a path that ends in .npz.
        data_dir: tensorflow-datasets folder, or one that holds <name>.npz; None is
            the default of tensorflow-datasets, which the variable TFDS_DATA_DIR
            sets. Only for mnist, cifar10, cifar100.
        download: whether a missing set may be downloaded.
        seed: seed of the tree and the points, default 0. Only for sdi, sdii, sdiii.

    Raises:
        ValueError: unknown name, bad arrays in a file, or a seed where none is used.
        FileNotFoundError: the file or the prepared set is not there.
        ImportError: tensorflow or tensorflow-datasets is needed and not installed.

    Example:
        >>> from dlgn_keras import data
        >>> data.load("digits").x_train.shape
        (1437, 8, 8, 1)
    """  # noqa: E501  (the table's lines)
    name = os.fspath(name)
    if name in SIZES:
        return oblique_dataset(name, seed=0 if seed is None else seed).dataset
    if seed is not None:
        raise ValueError(
            f"`seed` must be None except for {', '.join(SIZES)}. "
            f"Received: seed={seed!r} with name={name!r}."
        )
    if name in BUNDLED:
        return BUNDLED[name]()
    if name in SOURCES:
        if data_dir is not None:
            arrays = expanded(data_dir, "data_dir") / f"{name}.npz"
            if arrays.is_file():
                return _named(name, arrays)
        return read_prepared(name, data_dir, download)
    if name.lower().endswith(".npz"):
        return read_npz(name)
    raise ValueError(
        f"`name` must be one of {', '.join(NAMES)}, or a path that ends in .npz. "
        f"Received: name={name!r}.{closest(name.lower(), NAMES)}"
    )


def _named(name: str, path: Path) -> Dataset:
    """Return the arrays of a file with all that goes with a set's name."""
    source = SOURCES[name]
    found = read_npz(path, len(source.class_names))
    try:
        return dataclasses.replace(
            found,
            class_names=source.class_names,
            preprocessing=source.preprocessing,
            terms=source.terms,
        )
    except ValueError as error:
        raise ValueError(f"Data in {path}: {error}") from None


def class_names(name: str) -> tuple[str, ...]:
    """Return the names of the classes of a named data set, be it there or not.

    Args:
        name: digits, mnist1d, mnist, cifar10 or cifar100.

    Raises:
        ValueError: a set whose classes have no names.

    Example:
        >>> from dlgn_keras import data
        >>> data.class_names("cifar10")[3]
        'cat'
    """
    if name in BUNDLED:
        return BUNDLED[name]().class_names
    if name in SOURCES:
        return SOURCES[name].class_names
    named = (*BUNDLED, *SOURCES)
    raise ValueError(
        f"`name` must be one of {', '.join(named)}. "
        f"Received: name={name!r}.{closest(name.lower(), named)}"
    )
