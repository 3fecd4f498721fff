"""A Gram on disk: after a crash, finished tiles are not computed again.

The folder holds `manifest.json` (what is computed), `gram.partial.npy` and the
list `finished.txt` while work goes on, and `gram.npy` once every tile is in.
A tile is listed as finished only after its numbers are on disk, and `gram.npy`
appears in one step: no half-written file is taken for a whole one.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.kernels.tiles import Tile, readable
from dlgn_keras.tools.files import read_json, write_json


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


class Store:
    """The folder of one Gram.

    Args:
        folder: where it lies; made if missing.
        shape: (n, m) of the Gram.
        tile_size: rows and columns of a tile; None takes what the folder has.
        key: `fingerprint` of what is computed.

    Raises:
        ValueError: a folder with another Gram, or a disk too small for this one.
    """

    def __init__(
        self, folder: Any, shape: tuple[int, int], tile_size: int | None, key: str
    ) -> None:
        self.folder = Path(folder)
        self.shape = shape
        self.path = self.folder / "gram.npy"
        self._partial = self.folder / "gram.partial.npy"
        self._finished = self.folder / "finished.txt"
        manifest = self.folder / "manifest.json"
        if manifest.is_file():
            found = read_json(manifest)
            if found["key"] != key or found["shape"] != list(shape):
                raise ValueError(
                    "`folder` must be new or hold the Gram of the same model, "
                    "examples and options. Received: "
                    f"folder={str(folder)!r} with another Gram of shape "
                    f"{tuple(found['shape'])}."
                )
            if tile_size not in (None, found["tile_size"]) and not self.is_complete:
                raise ValueError(
                    "`batch_size` must be that of the tiles in `folder`, "
                    f"{found['tile_size']}. Received: batch_size={tile_size}."
                )
            self.tile_size: int | None = found["tile_size"]
            return
        self.tile_size = tile_size
        self._key = key

    @property
    def is_complete(self) -> bool:
        return self.path.is_file()

    def start(self, tile_size: int) -> set[tuple[int, int]]:
        """Make missing files; return the (row, column) starts of finished tiles."""
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = self.folder / "manifest.json"
        if not manifest.is_file() or not self._partial.is_file():
            self._check_disk()
            self._finished.write_text("")
            np.lib.format.open_memmap(
                self._partial, mode="w+", dtype=np.float64, shape=self.shape
            ).flush()
            if not manifest.is_file():
                found = {"key": self._key, "shape": self.shape, "tile_size": tile_size}
                write_json(manifest, found)
        self._gram = np.lib.format.open_memmap(self._partial, mode="r+")
        done = set()
        for line in self._finished.read_text().splitlines(keepends=True):
            row, column, *end = line.split()
            if end == ["ok"]:  # a line cut short by a crash lacks it
                done.add((int(row), int(column)))
        return done

    def _check_disk(self) -> None:
        needed = 8 * self.shape[0] * self.shape[1]
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ValueError(
                f"A Gram of shape {self.shape} needs {readable(needed)} of disk; "
                f"{str(self.folder)!r} has {readable(free)} free."
            )

    def write(self, tile: Tile, values: np.ndarray, mirror: bool) -> None:
        """Write one tile, then list it as finished."""
        self._gram[tile.rows, tile.columns] = values
        if mirror:
            self._gram[tile.columns, tile.rows] = values.T
        self._gram.flush()
        with open(self._finished, "a") as file:
            file.write(f"{tile.rows.start} {tile.columns.start} ok\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Rename the partial file to its final name."""
        self._gram.flush()
        del self._gram
        os.replace(self._partial, self.path)
        self._finished.unlink()

    def read(self) -> np.ndarray:
        """Return the complete Gram, left on disk and read as needed."""
        return np.load(self.path, mmap_mode="r")
