"""model.weights.h5: Keras' own weight file, stored as float32 or float16.

float16 halves the file; loading puts the numbers into the model's float32
variables. The names and the layout stay those of `keras.Model.save_weights`.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np

from dlgn_keras.tools.messages import check_choice, one_line

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
        with h5py.File(whole, "r+") as source, h5py.File(path, "w") as target:
            source.pop("optimizer", None)  # of a compiled model: not its weights
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
    size, stored = net.count_params(), count_numbers(path)
    if stored != size:
        raise ValueError(
            f"{path} must hold the {size} numbers of {net.name!r}. "
            f"Received: {stored} numbers."
        )
    read_weights(net, path)


def read_weights(net: keras.Model, path: Path) -> None:
    """Load a weight file that `count_numbers` let pass into a model of its size."""
    try:
        net.load_weights(path)
    except Exception as error:  # HDF5 raises errors of many kinds
        line = one_line(error)[:200]
        raise ValueError(f"{path} does not fit {net.name!r}: {line}") from None


class _Unusual(Exception):
    """An item in a weight file that Keras does not write."""


def count_numbers(path: Path) -> int:
    """Return the number of values in a weight file; refuse unusual content.

    Raises:
        ValueError: a file that is not whole, that points outside itself, that shares
            parts, or that claims more numbers than it has bytes for.
    """
    try:
        with h5py.File(path, "r") as file:
            found = [(item.size, item.dtype.itemsize) for item in _datasets(file)]
            if sum(size * width for size, width in found) > path.stat().st_size:
                raise _Unusual("must hold its own data. Received: more than its bytes")
            return int(sum(size for size, _ in found))
    except _Unusual as error:
        raise ValueError(f"{path} {error}.") from None
    except Exception as error:  # HDF5 raises errors of many kinds
        line = one_line(error)[:200]
        raise ValueError(f"{path} is no whole HDF5 file: {line}.") from None


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield every data set once; links, virtual and external data lead elsewhere."""
    seen, waiting = {_address(file)}, [file]
    while waiting:
        group = waiting.pop()
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise _Unusual(f"must hold no links. Received: {key!r}")
            item = group[key]
            if _address(item) in seen:
                raise _Unusual(f"must hold each part once. Received: {key!r} again")
            seen.add(_address(item))
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
                raise _Unusual(f"must hold its own data. Received: {key!r}")
            elif item.dtype.kind not in "fiu":
                raise _Unusual(f"must hold numbers. Received: {key!r} of {item.dtype}")
            else:
                yield item


def _address(item: h5py.Group | h5py.Dataset) -> int:
    return h5py.h5o.get_info(item.id).addr
