"""model.weights.h5: Keras' own weight file, stored as float32 or float16.

float16 halves the file; loading puts the numbers into the model's float32
variables. The names and the layout stay those of `keras.Model.save_weights`.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np

from dlgn_keras.tools.messages import check_choice

DTYPES = ("float16", "float32")


def save_weights(net: keras.Model, path: Path, dtype: str) -> None:
    """Write the weights of a model, floating-point ones in `dtype`.

    Raises:
        ValueError: an unknown dtype, or weights out of float16's range.
    """
    check_choice("dtype", dtype, DTYPES)
    whole = path.with_name(f"full.{path.name}")
    net.save_weights(whole)
    try:
        with h5py.File(whole, "r") as source, h5py.File(path, "w") as target:
            _copy(source, target, np.dtype(dtype))
    finally:
        whole.unlink()


def _copy(source: h5py.Group, target: h5py.Group, dtype: np.dtype) -> None:
    for key, value in source.attrs.items():
        target.attrs[key] = value
    for key, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(key), dtype)
            continue
        array = np.asarray(item[()])
        if array.dtype == np.float32 and dtype == np.float16:
            with np.errstate(over="ignore"):
                half = array.astype(dtype)
            if not np.isfinite(half).all():
                raise ValueError(
                    '`dtype` must be "float32" for these weights: they leave the '
                    f"range of float16. Received: dtype={dtype.name!r}, with "
                    f"{item.name} up to {float(np.abs(array).max()):g}."
                )
            array = half
        target.create_dataset(key, data=array).attrs.update(item.attrs)


def load_weights(net: keras.Model, path: Path) -> None:
    """Load a weight file into a model; anything unusual in the file is refused.

    Raises:
        ValueError: a file that is not whole, that points outside itself, or that
            does not fit the model.
    """
    size = sum(int(np.prod(variable.shape)) for variable in net.variables)
    try:
        with h5py.File(path, "r") as file:
            stored = sum(int(dataset.size) for dataset in _datasets(file, path))
    except (OSError, RecursionError) as error:
        raise ValueError(f"{path} is no whole HDF5 file: {error}.") from None
    if stored != size:
        raise ValueError(
            f"{path} must hold the {size} numbers of {net.name!r}. "
            f"Received: {stored} numbers."
        )
    try:
        net.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not fit {net.name!r}: {line}") from None


def _datasets(group: h5py.Group, path: Path) -> Iterator[h5py.Dataset]:
    """Yield every data set; links, virtual and external data lead elsewhere."""
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} must hold no links. Received: {key!r}.")
        item = group[key]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, path)
        elif not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
            raise ValueError(f"{path} must hold its own data. Received: {key!r}.")
        elif item.dtype.kind not in "fiu":
            raise ValueError(
                f"{path} must hold numbers. Received: {key!r} of {item.dtype}."
            )
        else:
            yield item
