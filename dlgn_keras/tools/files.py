"""Write files and folders whole or not at all; report damaged ones in one line."""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


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


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda part: part.write_text(text, "utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a json file atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a json file; damage is a ValueError that names it."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}. Remove or replace it.") from None


@contextlib.contextmanager
def write_folder(folder: Path, replace: bool = True) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, and rename it to `folder` at the end.

    An error inside leaves everything as it was.

    Args:
        folder: the folder to make; its parents are made too.
        replace: whether a folder already there is replaced. If not it is kept, as
            when another process was first.

    Raises:
        ValueError: no folder can be made there.
    """
    own = f".{folder.name}.{os.getpid()}-{threading.get_ident()}"
    part, old = folder.with_name(f"{own}.part"), folder.with_name(f"{own}.old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    except OSError as error:
        raise ValueError(
            f"`folder` must lie where one can write: {error.strerror}. "
            f"Received: folder={str(folder)!r}."
        ) from None
    try:
        yield part
        if replace and folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            if replace or not folder.is_dir():
                raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def make_folder(path: str | Path) -> Path:
    """Return `path` as a folder one can write in, made if need be.

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
            f"`out` must be a folder one can write in: {error.strerror}. "
            f"Received: out={str(path)!r}."
        ) from None
    return folder
