"""Write files whole or not at all; report damaged ones in one line."""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place.

    Args:
        path: the file to make; its folder must exist.
        write: called with the temporary path, which keeps the suffix of `path`.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder."""
    for leftover in folder.glob(".*.part*"):
        leftover.unlink(missing_ok=True)


def expanded(path: str | os.PathLike[str], argument: str) -> Path:
    """Return a path with ~ expanded.

    Raises:
        ValueError: a ~ that no home folder stands for.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"`{argument}` must be a path; its ~ names no user's folder. "
            f"Received: {argument}={os.fspath(path)!r}."
        ) from None


def keras_home() -> Path:
    """Return the folder that KERAS_HOME names, default ~/.keras."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return expanded(home, "KERAS_HOME")


def check_size(path: Path, largest: int) -> None:
    """Raise a ValueError if a file has more than `largest` bytes."""
    size = path.stat().st_size
    if size > largest:
        raise ValueError(
            f"{path} must have at most {largest:,} bytes. Received: {size:,}."
        )


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda part: part.write_text(text, "utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a json file atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path, largest: int = 1 << 30) -> Any:
    """Read a json file; raise a ValueError if it is damaged or too large."""
    check_size(path, largest)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}. Remove or replace it.") from None


@contextmanager
def only_one(folder: Path, what: str, name: str = "out") -> Iterator[None]:
    """Lock a folder for this process; the system frees the lock after a kill.

    On a shared disk without locks, warn and go on without one.

    Args:
        folder: an existing folder; `.lock` in it stays.
        what: kind of folder, such as "run", for the message.
        name: the argument that named it.

    Raises:
        ValueError: another process is at work there.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"`{name}` must be a folder that no other {what} is using now. "
            f"Received: {name}={str(folder)!r}."
        ) from None
    except NotImplementedError:
        warnings.warn(
            f"The disk of {str(folder)!r} has no locks: use it from one process.",
            stacklevel=3,
        )
    try:
        yield
    finally:
        lock.release()


def make_folder(path: str | Path, name: str = "out") -> Path:
    """Return `path` as a folder one can write in, made if need be.

    Args:
        path: the folder.
        name: the argument that named it.

    Raises:
        ValueError: the folder cannot be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"`{name}` must be a folder one can write in: {error.strerror}. "
            f"Received: {name}={str(path)!r}."
        ) from None
    return folder
