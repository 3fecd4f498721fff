"""Load a data set by its name, or from a file or folder."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.data.dataset import Dataset, stratified_indices
from dlgn_keras.data.mnist1d import read_mnist1d
from dlgn_keras.data.names import TFDS, short_name
from dlgn_keras.data.npz import read_npz, statistics
from dlgn_keras.data.oblique import SIZES, oblique_dataset
from dlgn_keras.data.picture_folder import read_folder
from dlgn_keras.data.prepared import SOURCES, unreadable
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.data.stored import Unreadable, in_memory, select
from dlgn_keras.data.tfds import Named, read_tfds
from dlgn_keras.tools.files import expanded
from dlgn_keras.tools.memory import memory_bound
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
TEST_SHARE = 0.2
STATISTICS = 5000  # pictures that tell mean and deviation


def load(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    seed: int | None = None,
    image_size: int | Sequence[int] | None = None,
    memory: float | None = None,
    skip_unreadable: bool = False,
    targets: str = "classes",
) -> Dataset:
    """Return a data set by name, or from your own file or folder.

    | name | what | preprocessing |
    | --- | --- | --- |
    | digits | scikit-learn's 8 x 8 digits, 1437 train and 360 test (stratified, seed 0) | x / 16 |
    | mnist1d | series (40, 1) of ten classes, 4000 and 1000, made by the published generator | none |
    | mnist | 28 x 28 x 1, 60000 and 10000 | x / 255 |
    | cifar10, cifar100 | 32 x 32 x 3, 50000 and 10000 | mean and deviation per channel |
    | sdi, sdii, sdiii | labels of a random oblique tree, see `oblique_dataset` | none |
    | tfds:NAME | a set of tensorflow-datasets, also tfds:NAME/CONFIG:1.0.0 | as .npz |
    | a folder | pictures: a folder a class, or train and test that have these | as .npz |
    | *.npz | x_train, y_train, x_test, y_test | integers: own mean and deviation; floats: none |

    mnist, cifar10, cifar100 and tfds:NAME come from tensorflow-datasets: a prepared
    folder is used if there is one, else the set is downloaded. A folder that holds
    <name>.npz works too for the first three. A missing set is never replaced by
    another. Inputs are raw (pixels stay integers); a model applies
    `Dataset.preprocessing` itself.

    A set of tensorflow-datasets has one image or vector and one class label an
    example. Its splits train, test and validation are used; validation is the test
    part where there is none, and where there is neither, a fifth of train, stratified,
    seed 0. See `read_folder` for how a folder is split. Pictures are rotated by their
    EXIF tag, laid on white and, where they are of several sizes, cut around their
    centre to the proportions of `image_size` and resized. Their mean and deviation are
    those of at most 5000 training pictures, spread evenly.

    Images of tensorflow-datasets, once decoded, are kept in `dlgn_keras_data` in
    KERAS_HOME (default ~/.keras), which can be deleted. A set of records or pictures larger than `memory` is not loaded: its parts are
    `Stored` inputs, read from disk whenever they are used, in training too.

    Args:
        name: a name of the table, a folder, or a path that ends in .npz.
        data_dir: tensorflow-datasets folder, or one that holds <name>.npz; None is
            the default of tensorflow-datasets, which the variable TFDS_DATA_DIR
            sets.
        download: whether a missing set may be downloaded.
        seed: seed of the tree and the points, default 0. Only for sdi, sdii, sdiii.
        image_size: pixels of a side, or (height, width), for pictures of tfds:NAME
            or a folder; None where all have one size.
        memory: most gigabytes to load; None is a quarter of the free memory.
        skip_unreadable: whether pictures that cannot be read are left out. Otherwise
            they are listed in an error, or end the training that meets them.
        targets: "numbers" for an .npz file of numbers to predict, for regression.

    Raises:
        ValueError: unknown name, bad arrays in a file, images of several sizes, or an
            argument that goes with other sets.
        FileNotFoundError: the file or the prepared set is not there.
        OSError: a damaged set, pictures that cannot be read.
        ImportError: tensorflow or tensorflow-datasets is needed and not installed.

    Example:
        >>> from dlgn_keras import data
        >>> data.load("digits").x_train.shape
        (1437, 8, 8, 1)
    """  # noqa: E501  (the table's lines)
    name = os.fspath(name)
    if seed is not None and name not in SIZES:
        raise ValueError(
            f"`seed` must be None except for {', '.join(SIZES)}. "
            f"Received: seed={seed!r} with name={name!r}."
        )
    prepared = name in SOURCES or name.startswith(TFDS)
    pictured = not prepared and name not in NAMES and expanded(name, "name").is_dir()
    if image_size is not None and (name in SOURCES or not (prepared or pictured)):
        raise ValueError(
            "`image_size` goes with tfds:NAME and folders of pictures. "
            f"Received: image_size={image_size!r} with name={name!r}."
        )
    if targets != "classes" and not name.lower().endswith(".npz"):
        raise ValueError(
            "`targets` other than 'classes' (the loss mse) go with an .npz file. "
            f"Received: targets={targets!r} with name={name!r}."
        )
    if name in SIZES:
        return oblique_dataset(name, seed=0 if seed is None else seed).dataset
    if name in BUNDLED:
        return BUNDLED[name]()
    if name in SOURCES and data_dir is not None:
        arrays = expanded(data_dir, "data_dir") / f"{name}.npz"
        if arrays.is_file():
            return _named(name, arrays)
    if prepared:
        wanted = name.removeprefix(TFDS)
        found = read_tfds(wanted, data_dir, download, image_size, skip_unreadable)
        return _settled(found, name, memory)
    if pictured:
        folder = expanded(name, "name")
        parts, names = read_folder(folder, image_size, skip_unreadable)
        terms = f"Read from {folder.name}; its owner's terms apply."
        return _settled(Named(short_name(name), parts, names, terms), name, memory)
    if name.lower().endswith(".npz"):
        return read_npz(name, targets=targets)
    raise ValueError(
        f"`name` must be one of {', '.join(NAMES)}, tfds:NAME, a folder of pictures, "
        "or a path that ends in .npz. "
        f"Received: name={name!r}.{closest(name.lower(), NAMES)}"
    )


def _settled(found: Named, name: str, memory: float | None) -> Dataset:
    """Return the data set of some parts, loaded if they fit into memory."""
    parts = dict(found.parts)
    if "test" not in parts:
        x, y = parts["train"]
        test = np.zeros(len(y), bool)
        test[stratified_indices(y, round(len(y) * TEST_SHARE), 0)] = True
        parts["test"] = select(x, test), y[test]
        parts["train"] = select(x, ~test), y[~test]
    try:
        parts = in_memory(parts, memory_bound(memory))
    except (ValueError, Unreadable) as error:
        if name.startswith(TFDS) or name in SOURCES:
            raise unreadable(name, "its folder", error) from None
        raise
    x = parts["train"][0]
    few = x[np.unique(np.linspace(0, len(x) - 1, STATISTICS).astype(int))]
    known = SOURCES.get(name)
    names = known.class_names if known else found.class_names
    arrays: dict[str, Any] = {
        f"{a}_{split}": v
        for split, part in parts.items()
        for a, v in zip("xy", part, strict=True)
    }
    return Dataset(
        name=found.name,
        num_classes=len(names) or int(max(y.max() for _, y in parts.values())) + 1,
        class_names=names,
        preprocessing=known.preprocessing if known else statistics(few),
        terms=known.terms if known else found.terms,
        **arrays,
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
