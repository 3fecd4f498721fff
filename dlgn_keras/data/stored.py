"""Inputs that stay where they are until they are asked for: files, records, disks."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dlgn_keras.tools.files import write_atomically


class Unreadable(OSError):
    """An example that cannot be read; the message names it."""


class Source(Protocol):
    """Where inputs are read from, one by one.

    shape, dtype: of one input. read(k): input k; raises Unreadable.
    fact(k): what it is called, and what tells it from others. check(): raises a
    ValueError where it is known, without decoding, that not all is whole. kept: file
    that inputs go to once they are decoded; None keeps none.
    """

    @property
    def kept(self) -> Path | None: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def read(self, k: int) -> np.ndarray: ...

    def fact(self, k: int) -> str: ...

    def check(self) -> None: ...


class Stored:
    """Inputs (n, ...) of a data set, read whenever they are indexed.

    It stands in a `Dataset` where an array would: `x[3]`, `x[:10]`, `x[[7, 2]]` and
    `np.asarray(x)` read, `len`, `shape` and `dtype` do not.

    Args:
        source: what reads.
        places: (n,) the inputs' numbers in the source.
        skip: whether an input that cannot be read has no part in training and
            figures; else it is an error.

    Attributes:
        skipped: numbers in the source of inputs that could not be read.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras.data.stored import Rows, Stored
        >>> x = Stored(Rows(np.arange(6.0).reshape(3, 2)), np.array([2, 0]))
        >>> x.shape, x[0].tolist(), np.asarray(x).tolist()
        ((2, 2), [4.0, 5.0], [[4.0, 5.0], [0.0, 1.0]])
    """

    def __init__(self, source: Source, places: np.ndarray, skip: bool = False) -> None:
        self.source = source
        self.places = np.asarray(places, np.int64)
        self.skip = skip
        self.skipped: set[int] = set()

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.source.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def select(self, key: Any) -> "Stored":
        """Return some of the inputs, not read yet."""
        chosen = Stored(self.source, self.places[key], self.skip)
        chosen.skipped = self.skipped
        return chosen

    def read(self, key: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs, and whether each could be read; zeros stand for the others.

        Raises:
            Unreadable: an input cannot be read, and none may be skipped.
        """
        places = self.places[key]
        found = np.zeros((len(places), *self.source.shape), self.dtype)
        good = np.ones(len(places), bool)
        for row, place in enumerate(places.tolist()):
            try:
                found[row] = self.source.read(place)
            except Unreadable:
                if not self.skip:
                    raise
                self.skipped.add(place)
                good[row] = False
        return found, good

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, int | np.integer):
            return self.read([key])[0][0]
        return self.read(key)[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def facts(self) -> bytes:
        """Return a text that changes with the inputs, made without reading them."""
        return "\n".join(map(self.source.fact, self.places.tolist())).encode()


class Rows:
    """The rows of an array on disk, such as `np.load(path, mmap_mode="r")`."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape, self.dtype, self.kept = array.shape[1:], array.dtype, None

    def read(self, k: int) -> np.ndarray:
        return self.array[k]

    def check(self) -> None:
        pass

    def fact(self, k: int) -> str:
        return f"{k} {self.array.shape} {self.array.dtype}"


def as_stored(x: Any) -> Stored:
    """Return inputs as stored ones, be they an array."""
    return x if isinstance(x, Stored) else Stored(Rows(x), np.arange(len(x)))


def select(x: Any, key: Any) -> Any:
    """Return some inputs: `x[key]` of an array, not read yet where they are stored."""
    return x.select(key) if isinstance(x, Stored) else x[key]


def pieces(x: Any, y: np.ndarray, size: int = 4096) -> Iterator[tuple]:
    """Yield (inputs, labels) of readable examples, at most `size` stored together."""
    if not isinstance(x, Stored):
        yield x, y
        return
    for start in range(0, len(y), size):
        some = slice(start, start + size)
        inputs, good = x.read(some)
        if good.any():
            yield inputs[good], y[some][good]


def in_memory(
    parts: dict[str, tuple[Any, np.ndarray]], memory: int
) -> dict[str, tuple[Any, np.ndarray]]:
    """Return {split: (inputs, labels)} read into memory, if all fit into `memory`.

    Raises:
        Unreadable: inputs that cannot be read, and none may be skipped; all are told.
    """
    stored = [x for x, _ in parts.values() if isinstance(x, Stored)]
    if not stored or sum(x.nbytes for x in stored) > memory:
        return parts
    found, bad = {}, []
    for split, (x, y) in parts.items():
        if isinstance(x, Stored):
            inputs, good = _whole(x)
            if not x.skip:
                bad += [x.source.fact(place) for place in x.places[~good].tolist()]
            x, y = (inputs, y) if good.all() else (inputs[good], y[good])
        found[split] = (x, y)
    refuse(bad)
    return found


def _whole(x: Stored) -> tuple[np.ndarray, np.ndarray]:
    """Return all inputs and which could be read; decoded ones are kept, see Source."""
    kept = x.source.kept
    if kept is not None:
        kept = kept.with_name(f"{kept.stem}-{zlib.crc32(x.places.tobytes()):08x}.npy")
    if kept is not None and kept.is_file():
        try:
            found = np.load(kept, allow_pickle=False)
            if found.shape == x.shape and found.dtype == x.dtype:
                return found, np.ones(len(x), bool)
        except (OSError, ValueError, EOFError):
            pass  # damaged: decoded again
    x.source.check()
    found, good = Stored(x.source, x.places, skip=True).read(slice(None))
    if kept is not None and good.all():
        with suppress(OSError):  # a full or write-protected disk
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, lambda part: np.save(part, found))
    return found, good


def refuse(bad: Sequence[str]) -> None:
    """Raise an error that lists inputs that cannot be read, if there are any."""
    if bad:
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise Unreadable(
            "Every example must be readable: remove these, or skip them "
            "(`skip_unreadable=True`, --skip-unreadable). "
            f"Received: {len(bad)} unreadable: {', '.join(bad[:10])}{more}."
        )
