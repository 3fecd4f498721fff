"""A Gram on disk: after a crash, finished tiles are not computed again.

The folder holds `manifest.json` (which Gram it is), `gram.partial.npy` and the list
`finished.txt` during the computation, and `gram.npy` once every tile is done. A tile
is listed as finished, with a checksum of its numbers, only after they are on disk, and
`gram.npy` appears in one step: no half-written file is taken for a complete one. A
tile that does not match its checksum, then or later, is computed again.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.kernels.tiles import Tile, readable
from dlgn_keras.tools.fields import check_fields
from dlgn_keras.tools.files import read_json, remove_parts, write_json, write_text

MANIFEST = {
    "key": str,
    "shape": tuple[int, int],
    "tile_size": int,
    "tiles": list[tuple[int, int, int, int]],
}


def fingerprint(net: Any, arrays: list[np.ndarray | None], options: dict) -> str:
    """Return a hash of the weights, examples and options behind a Gram."""
    digest = hashlib.sha256()
    config = {key: value for key, value in net.get_config().items() if key != "name"}
    text = json.dumps([config, options], sort_keys=True, default=str)
    digest.update(text.encode())
    for array in [*net.get_weights(), *arrays]:
        if array is None:
            digest.update(b"none")
            continue
        array = np.ascontiguousarray(array)
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class Note(NamedTuple):
    """The checksum of a finished tile, and whether the tile is mirrored."""

    checksum: int
    mirrored: int


class Store:
    """The folder of one Gram; only the process with its lock may call more than `read`.

    Args:
        folder: path of the folder.
        shape: (n, m) of the Gram.
        tile_size: rows and columns of a tile; None takes the size in the folder.
        key: `fingerprint` of the Gram.

    Raises:
        ValueError: a folder with another Gram or a damaged manifest, or a disk too
            small for this one.
        OSError: in `write`, a full disk.
    """

    def __init__(
        self, folder: Any, shape: tuple[int, int], tile_size: int | None, key: str
    ) -> None:
        self.folder = Path(folder)
        self.shape = shape
        self.path = self.folder / "gram.npy"
        self._manifest = self.folder / "manifest.json"
        self._partial = self.folder / "gram.partial.npy"
        self._finished = self.folder / "finished.txt"
        self._header = _header(shape)
        self._bytes = len(self._header) + 8 * shape[0] * shape[1]
        self._notes: dict[tuple[int, int], Note] = {}
        self._facts: dict[str, Any] = {"key": key, "shape": list(shape)}
        self.tile_size: Any = tile_size
        if self._manifest.is_file():
            self._facts = self._known(tile_size)
            self.tile_size = self._facts["tile_size"]
        elif self.path.is_file():
            raise ValueError(
                "`folder` must be new or hold a Gram with its manifest.json. Received: "
                f"folder={str(folder)!r} with gram.npy alone."
            )

    def _known(self, tile_size: int | None) -> dict[str, Any]:
        """Return the folder's manifest; raise a ValueError unless it fits this Gram."""
        found = read_json(self._manifest)
        check_fields(self._manifest, found, MANIFEST)
        counts = [found.get("tile_size", 0), *(found.get("shape", [0]))]
        places = [number for tile in found.get("tiles", [[-1]]) for number in tile]
        if min(counts) < 1 or min(places, default=0) < 0 or "key" not in found:
            raise ValueError(
                f"{self._manifest} is damaged: a field is missing or too small. "
                "Remove the folder to start again."
            )
        if any(found[name] != self._facts[name] for name in self._facts):
            raise ValueError(
                "`folder` must be new or hold the Gram of the same model, "
                "examples and options. Received: "
                f"folder={str(self.folder)!r} with another Gram of shape "
                f"{tuple(found['shape'])}."
            )
        if tile_size not in (None, found["tile_size"]) and not self.path.is_file():
            raise ValueError(
                "`batch_size` must be that of the tiles in `folder`, "
                f"{found['tile_size']}. Received: batch_size={tile_size}."
            )
        return found

    def read(self) -> np.ndarray | None:
        """Return the complete Gram as a memory map; None if there is none.

        Every tile is compared with its checksum.
        """
        if not self.path.is_file():
            return None
        good = self._good(self.path, self._kept_notes())
        pairs = sum(
            self._tile(*start).size * (1 + note.mirrored)
            for start, note in good.items()
        )
        if pairs != self.shape[0] * self.shape[1]:
            return None
        with suppress(OSError):
            self._finished.unlink()  # left by a process killed in `finish`
        return np.load(self.path, mmap_mode="r")

    def _kept_notes(self) -> dict[tuple[int, int], Note]:
        """Return the notes of a complete Gram."""
        return {(row, column): Note(*n) for row, column, *n in self._facts["tiles"]}

    def start(self, tile_size: int) -> set[tuple[int, int]]:
        """Create missing files; return the (row, column) starts of finished tiles."""
        remove_parts(self.folder)
        self.tile_size = tile_size
        if self.path.is_file():
            self._take_back()
        if not self._manifest.is_file() or not self._partial.is_file():
            self._finished.write_text("")
        self._reserve()
        if not self._manifest.is_file():
            self._facts["tile_size"] = tile_size
            write_json(self._manifest, self._facts | {"tiles": []})
        text = ""
        if self._finished.is_file():
            text = self._finished.read_text(errors="replace")
        self._notes = self._good(self._partial, _notes(text))
        return set(self._notes)

    def _take_back(self) -> None:
        """Turn a damaged Gram into a partial one, to compute damaged tiles again."""
        notes = self._kept_notes()
        good = self._good(self.path, notes)
        warnings.warn(
            f"{self.path} is damaged: {len(notes) - len(good)} of its {len(notes)} "
            "tiles are computed again.",
            stacklevel=5,
        )
        lines = [_line(start, note) for start, note in good.items()]
        write_text(self._finished, "".join(lines))
        os.replace(self.path, self._partial)

    def _reserve(self) -> None:
        """Allocate the partial file at its full size."""
        new = not self._partial.is_file()
        self._partial.touch()
        taken = getattr(self._partial.stat(), "st_blocks", 0) * 512
        free = shutil.disk_usage(self.folder).free
        full = self._bytes - taken > free
        with open(self._partial, "r+b", buffering=0) as file:
            try:
                if not full:
                    file.write(self._header)
                    file.truncate(self._bytes)
                    if hasattr(os, "posix_fallocate"):
                        os.posix_fallocate(file.fileno(), 0, self._bytes)
            except OSError as error:
                full = error.errno == errno.ENOSPC
                if not full and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
        if full:
            if new:
                self._partial.unlink()
            raise ValueError(
                f"A Gram of shape {self.shape} needs {readable(self._bytes)} of disk; "
                f"{str(self.folder)!r} has {readable(free)} free."
            )

    def _good(
        self, path: Path, notes: dict[tuple[int, int], Note]
    ) -> dict[tuple[int, int], Note]:
        """Return the notes of the tiles whose numbers match their checksums."""
        if path.stat().st_size != self._bytes:
            return {}
        with path.open("rb") as file:
            if file.read(len(self._header)) != self._header:
                return {}
        offset = len(self._header)
        gram = np.memmap(path, "<f8", "r", offset=offset, shape=self.shape)
        good = {}
        for start, note in notes.items():
            tile = self._tile(*start)
            if any(place % self.tile_size for place in start) or not tile.size:
                continue
            parts = [gram[tile.rows, tile.columns]]
            if note.mirrored:
                parts.append(gram[tile.columns, tile.rows].T)
            if all(checksum(part) == note.checksum for part in parts):
                good[start] = note
        return good

    def _tile(self, row: int, column: int) -> Tile:
        """Return the tile with this start, cut at the Gram's edges."""
        cuts = [
            slice(min(start, end), min(start + self.tile_size, end))
            for start, end in zip((row, column), self.shape, strict=True)
        ]
        return Tile(*cuts)

    def write(self, tile: Tile, values: np.ndarray, mirror: bool) -> None:
        """Write one tile, then note it as finished with its checksum."""
        start = tile.rows.start, tile.columns.start
        note = Note(checksum(values), int(mirror))
        try:
            # Not by a memory map: there a full disk raises a signal, not an error.
            with open(self._partial, "r+b", buffering=0) as file:
                self._put(file, start, values)
                if mirror:
                    self._put(file, start[::-1], values.T)
                os.fsync(file.fileno())
            with open(self._finished, "a") as file:
                file.write(_line(start, note))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(
                f"`folder` must lie where a Gram can be written: {error.strerror}. The "
                f"{len(self._notes)} tiles before are kept: the same call goes on. "
                f"Received: folder={str(self.folder)!r}."
            ) from None
        self._notes[start] = note

    def _put(self, file: Any, start: tuple[int, int], values: np.ndarray) -> None:
        row, column = start
        for k, numbers in enumerate(np.asarray(values, "<f8"), start=row):
            file.seek(len(self._header) + 8 * (k * self.shape[1] + column))
            left = memoryview(numbers.tobytes())
            while left:
                left = left[file.write(left) :]

    def finish(self) -> None:
        """Write the checksums, and rename the partial file to its final name."""
        self._facts["tiles"] = [[*start, *note] for start, note in self._notes.items()]
        write_json(self._manifest, self._facts)
        os.replace(self._partial, self.path)
        self._finished.unlink()


def checksum(values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values, "<f8").data.cast("B"))


def _header(shape: tuple[int, int]) -> bytes:
    """Return the header of a .npy file of a float64 array."""
    facts = {"descr": "<f8", "fortran_order": False, "shape": shape}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()


def _line(start: tuple[int, int], note: Note) -> str:
    return f"{start[0]} {start[1]} {note.checksum} {int(note.mirrored)} ok\n"


def _notes(text: str) -> dict[tuple[int, int], Note]:
    """Return the notes of finished.txt; a line cut short or damaged is left out."""
    found = {}
    for line in text.splitlines():
        *numbers, end = line.split(" ")
        if end == "ok" and len(numbers) == 4 and all(map(str.isdecimal, numbers)):
            row, column, *note = map(int, numbers)
            found[row, column] = Note(*note)
    return found
