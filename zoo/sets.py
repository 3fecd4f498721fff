"""The data sets the zoo trains on: by name, or from npz files of the same images."""

import dataclasses
from pathlib import Path

from dlgn_keras import data
from dlgn_keras.data import Dataset
from dlgn_keras.data.prepared import SOURCES


def load_set(name: str, where: str | None = None) -> Dataset:
    """Return a data set with the preprocessing that goes with its name.

    Args:
        name: digits, mnist, cifar10 or cifar100.
        where: folder that holds <name>.npz, or that file, with x_train, y_train,
            x_test and y_test; needs NumPy alone. Otherwise `dk.data.load` is asked.

    Raises:
        FileNotFoundError: neither there.
        ValueError: a file that is not whole.
    """
    path = Path(where).expanduser() if where else None
    if path is not None and path.suffix != ".npz":
        path = path / f"{name}.npz"
    if path is None or path.stem != name or not path.is_file():
        return data.load(name)
    found = data.load(path)
    source = SOURCES.get(name)
    if source is None:
        return found
    return dataclasses.replace(
        found, name=name, preprocessing=source.preprocessing, terms=source.terms
    )
