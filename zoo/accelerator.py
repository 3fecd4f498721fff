"""Short hours of an accelerator: run what ends, keep what does not, pack it all.

A run is started only if its pace, measured once and kept in pace.json, lets it end in
the time that is left; a run of unknown pace gives it by its first rounds. What had to
stop keeps its checkpoint, and goes on another day. When nothing more would end, the
most wanted run that is open uses the rest.
"""

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from dlgn_keras.tools.files import read_json, write_json

PART = 15 * 2**20
PACKING = 20.0  # seconds kept back for the parts


class WillNotEnd(Exception):
    """This run needs more time than there is; its checkpoint is kept."""


class Paces:
    """Seconds an epoch and seconds to start of each run, kept in a file.

    Args:
        path: the json file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, dict[str, float]] = (
            read_json(path) if path.is_file() else {}
        )

    def needed(self, name: str, epochs: int) -> float:
        """Return the seconds that `epochs` of a run need; 0 if nobody knows."""
        pace = self.known.get(name, {"epoch": 0.0, "start": 0.0})
        return pace["start"] + epochs * pace["epoch"]

    def done(self, name: str) -> int:
        """Return how many epochs of a run a checkpoint holds."""
        return int(self.known.get(name, {"done": 0})["done"])

    def learn(self, name: str, epoch: float, start: float, done: int) -> None:
        """Keep what a run took, and how far it is."""
        facts = {"epoch": round(epoch, 3), "start": round(start, 1), "done": done}
        self.known[name] = facts
        write_json(self.path, self.known)


class Pace(keras.callbacks.Callback):
    """Measure a run's rounds, and stop it where it would not end in time.

    A first round compiles. If the whole would end even at its pace, no more need be
    known; else the second round tells.

    Args:
        name: of the run.
        paces: what is known; learns.
        every: epochs of a round.
        deadline: when all must have ended, as `time.monotonic` counts.
        to_the_end: whether a run that will not end stops at once; else it uses all
            the time there is.
    """

    def __init__(
        self, name: str, paces: Paces, every: int, deadline: float, to_the_end: bool
    ) -> None:
        super().__init__()
        self.name = name
        self.paces = paces
        self.every = every
        self.deadline = deadline
        self.to_the_end = to_the_end
        self.rounds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.rounds.append(time.monotonic() - self.began)
        left = self.params["epochs"] - epoch - 1
        pace = min(self.rounds)
        self.paces.learn(
            self.name,
            pace / self.every,
            max(0.0, self.rounds[0] - pace),
            (epoch + 1) * self.every,
        )
        time_left = self.deadline - time.monotonic()
        sure = len(self.rounds) > 1 or pace > time_left
        rounds = left if self.to_the_end and sure else min(left, 1)
        if rounds * pace > time_left:
            raise WillNotEnd


def run_queue(
    queue: list[tuple[str, Any, Callable[[list], None]]],
    paces: Paces,
    deadline: float,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Run a queue, most wanted first; return the names of the runs that ended.

    Args:
        queue: (name, recipe, train): `train` takes the callbacks of the run.
        paces: what is known of the runs' paces.
        deadline: as `time.monotonic` counts.
        say: takes a line on what became of a run.
    """
    ended: list[str] = []
    for to_the_end in (True, False):
        for name, recipe, train in queue:
            every = recipe.evaluate_every
            left = deadline - time.monotonic()
            wanted = recipe.epochs - paces.done(name) if to_the_end else every
            if name in ended or left <= 0 or paces.needed(name, wanted) > left:
                continue
            try:
                train([Pace(name, paces, every, deadline, to_the_end)])
            except WillNotEnd:
                say(f"{name}: does not end today; its checkpoint is kept")
            else:
                ended.append(name)
                say(f"{name}: ended")
    return ended


def pack(folders: dict[str, Path], out: Path, size: int | None = None) -> list[Path]:
    """Write folders as tar archives in parts of at most `size` bytes.

    `cat NAME.tar.* | tar x` unpacks one. Temporary files of killed processes stay.

    Args:
        folders: archive name -> folder; empty or missing ones give no parts.
        out: where the parts go; older parts of the same names are removed.
        size: of a part, in bytes; 15 MiB if None.
    """
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, folder in folders.items():
        for old in out.glob(f"{name}.tar.*"):
            old.unlink()
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if files:
            with _Parts(out / f"{name}.tar", size or PART) as parts:
                with tarfile.open(fileobj=parts, mode="w|") as tar:
                    for path in files:
                        tar.add(path, str(path.relative_to(folder)))
            written += parts.paths
    return written


class _Parts(io.RawIOBase):
    """A file for writing that goes on in another part when one is full."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__()
        self.base = path
        self.size = size
        self.room = 0
        self.paths: list[Path] = []
        self.file: Any = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        for piece in self._pieces(view):
            self.file.write(piece)
        return len(view)

    def _pieces(self, view: memoryview) -> Iterator[memoryview]:
        while view:
            if not self.room:
                self.close_part()
                self.paths.append(
                    self.base.with_name(f"{self.base.name}.{len(self.paths):03d}")
                )
                self.file, self.room = self.paths[-1].open("wb"), self.size
            piece, view = view[: self.room], view[self.room :]
            self.room -= len(piece)
            yield piece

    def close_part(self) -> None:
        if self.file is not None:
            self.file.close()

    def close(self) -> None:
        self.close_part()
        super().close()
