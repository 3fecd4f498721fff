"""TFRecord files of tensorflow-datasets, read without TensorFlow.

A record is its length (8 bytes), a checksum of that (4), its data and a checksum of
them (4). The data are a serialised tf.train.Example.
"""

import functools
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HEAD, TAIL = 12, 4
TOGETHER = 1 << 25  # bytes whose checksums are computed together


class Records:
    """The records of some files, in order; `records[k]` is the data of one of them.

    Args:
        paths: TFRecord files.

    Raises:
        ValueError: a file that ends within a record.
        OSError: a file that cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.maps = [_mapped(path) for path in paths]
        found = [
            _places(data, path) for data, path in zip(self.maps, paths, strict=True)
        ]
        self.lengths = [len(places) for places in found]  # records a file
        self.files = np.repeat(np.arange(len(paths), dtype=np.int32), self.lengths)
        self.places = np.concatenate([np.zeros((0, 2), np.int64), *found])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, k: int) -> bytes:
        start, length = self.places[k]
        return self.maps[self.files[k]][start : start + length]

    def facts(self) -> list[tuple]:
        """Return path, size and time of every file."""
        found = [(path, path.stat()) for path in self.paths]
        return [(str(p.resolve()), s.st_size, s.st_mtime_ns) for p, s in found]

    def check(self) -> None:
        """Raise a ValueError unless every record has its checksum."""
        for file, data in enumerate(self.maps):
            whole = np.frombuffer(data, np.uint8)
            places = self.places[self.files == file]
            order = np.argsort(places[:, 1], kind="stable")  # little padding
            size = max(1, TOGETHER // max(1, int(places[:, 1].max(initial=1))))
            for first in range(0, len(order), size):
                _check_some(whole, places[order[first : first + size]])
            del whole  # which would keep the file mapped


def _mapped(path: Path) -> Any:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _places(data: Any, path: Path) -> np.ndarray:
    """Return (n, 2) starts and lengths of the records' data."""
    found, at, end = [], 0, len(data)
    while at < end:
        length = int.from_bytes(data[at : at + 8], "little")
        if at + HEAD + length + TAIL > end:
            raise ValueError(f"{path.name} ends within a record")
        found.append((at + HEAD, length))
        at += HEAD + length + TAIL
    return np.array(found, np.int64).reshape(-1, 2)


def _check_some(whole: np.ndarray, places: np.ndarray) -> None:
    """Compare stored checksums (CRC-32C, rotated, plus a constant) with the data."""
    sums = _crc32c(whole, places)
    ends = places.sum(axis=1)[:, None] + np.arange(TAIL)
    stored = np.ascontiguousarray(whole[ends]).view("<u4")[:, 0]
    rotated = (sums >> np.uint32(15)) | (sums << np.uint32(17))
    bad = np.count_nonzero(rotated + np.uint32(0xA282EAD8) != stored)
    if bad:
        raise ValueError(f"{bad} records do not have their checksums")


def _crc32c(whole: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the CRC-32C of some stretches of bytes, all computed side by side.

    Stretches are laid out to end together. Zeros before the start leave a sum of 0 as
    it is; inverting the first four bytes then stands for the usual start, all ones.
    """
    longest = int(places[:, 1].max())
    longest += longest % 2
    laid = np.zeros((len(places), max(longest, 4)), np.uint8)
    for row, (start, length) in zip(laid, places.tolist(), strict=True):
        row[len(row) - length :] = whole[start : start + length]
        row[len(row) - length : len(row) - length + 4] ^= 0xFF
    table = _table()
    sums = np.zeros(len(places), np.uint32)
    for words in np.ascontiguousarray(laid.view("<u2").T):
        sums = table[(sums ^ words) & 0xFFFF] ^ (sums >> np.uint32(16))
    return ~sums


@functools.cache
def _table() -> np.ndarray:
    """Return the remainder of every two bytes by the CRC-32C polynomial."""
    table = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


@functools.cache
def _example_class() -> Any:
    """Return the class of tf.train.Example, built from its field numbers."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="dlgn_keras_example.proto", package="dlgn_keras", syntax="proto3"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    lists = {"bytes": kinds.TYPE_BYTES, "float": kinds.TYPE_FLOAT}
    lists["int64"] = kinds.TYPE_INT64
    fields: dict[str, list[tuple]] = {
        **{name: [("value", kind, None)] for name, kind in lists.items()},
        "Feature": [(name, kinds.TYPE_MESSAGE, name) for name in lists],
        "Entry": [("key", kinds.TYPE_STRING, None), ("value", 11, "Feature")],
        "Features": [("feature", kinds.TYPE_MESSAGE, "Entry")],
        "Example": [("features", kinds.TYPE_MESSAGE, "Features")],
    }
    for message, parts in fields.items():
        made = file.message_type.add(name=message)
        for number, (name, kind, of) in enumerate(parts, start=1):
            repeated = message in lists or message == "Features"
            made.field.add(
                name=name,
                number=number,
                type=kind,
                label=3 if repeated else 1,
                type_name=f".dlgn_keras.{of}" if of else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("dlgn_keras.Example")
    return message_factory.GetMessageClass(found)


def features_of(record: bytes, names: Sequence[str]) -> Iterator[Any]:
    """Yield the values of some features of a serialised tf.train.Example.

    Raises:
        ValueError: data that are no example, or a feature that it lacks.
    """
    try:
        entries = _example_class().FromString(record).features.feature
    except Exception as error:  # protobuf's own kind
        raise ValueError(f"a record is no example ({error})") from None
    found = {entry.key: entry.value for entry in entries}
    for name in names:
        if name not in found:
            raise ValueError(f"a record has no feature {name!r}")
        value = found[name]
        yield value.bytes.value or value.int64.value or value.float.value
