"""Write folders whole or not at all; restore folders that a killed process moved.

A folder is filled beside its place and then renamed. An older one is moved away first:
a process killed between the two steps leaves `.old-name.owner`, which the next reader
or writer of the place moves back.
"""

import contextlib
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# .part-name.host-process-start-thread, or .old-name. ...
LEFTOVER = re.compile(r"\.(part|old)-(.+)\.(\w+)-(\d+)-(\d+)-[0-9a-f]+")
ABANDONED = 7 * 24 * 3600.0  # seconds, for those of other machines
CLOCK = 5.0  # seconds: the start of a process is computed from the clock


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
    recover(folder.parent)
    own = f"{folder.name}.{_owner()}-{threading.get_ident():x}"
    part, old = folder.with_name(f".part-{own}"), folder.with_name(f".old-{own}")
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
        if replace:
            _swap(part, folder, old)
        else:
            _place(part, folder)
    finally:
        if old.exists():
            _settle(old, folder)
        shutil.rmtree(part, ignore_errors=True)


def recover(parent: Path) -> None:
    """Bring back the folders that a process killed in `write_folder` moved away.

    Other leftovers of killed processes in `parent` are removed; folders of running
    processes are not. Nothing happens if `parent` is not writable.
    """
    with contextlib.suppress(OSError):
        hidden = [path for path in parent.glob(".*") if LEFTOVER.fullmatch(path.name)]
        # Of several old ones, the last that was moved away stood in the place.
        for path in sorted(hidden, key=_moved, reverse=True):
            found: Any = LEFTOVER.fullmatch(path.name)
            kind, name, host, process, start = found.groups()
            abandoned = _abandoned(host, int(process), int(start), _moved(path))
            if kind == "old" and (abandoned or not (parent / name).exists()):
                _settle(path, parent / name)
            elif abandoned:
                shutil.rmtree(path, ignore_errors=True)


def _moved(path: Path) -> float:
    return path.stat().st_ctime


def _swap(part: Path, folder: Path, old: Path) -> None:
    """Move `folder` to `old` and `part` to `folder`; others may do so meanwhile."""
    for attempt in range(9, -1, -1):
        with contextlib.suppress(FileNotFoundError):
            folder.rename(old)
        try:
            part.rename(folder)
            return
        except OSError:  # a reader brought the old one back, or another wrote
            if not attempt or not folder.is_dir():
                raise
            if old.exists():
                _settle(old, folder)


def _place(part: Path, folder: Path) -> None:
    """Move `part` to `folder`, unless another process was first."""
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _settle(old: Path, folder: Path) -> None:
    """Move an old folder back to a place that is empty, else remove it."""
    if not folder.exists():
        old.rename(folder)
        return
    # Under another name first: nobody may bring back what is half removed.
    rubbish = old.with_name(old.name.replace(".old-", ".part-", 1))
    shutil.rmtree(rubbish, ignore_errors=True)
    old.rename(rubbish)
    shutil.rmtree(rubbish, ignore_errors=True)


def _owner() -> str:
    """Return this process as part of a name: host, number and start."""
    import psutil

    start = int(psutil.Process().create_time())
    return f"{_host()}-{os.getpid()}-{start}"


def _host() -> str:
    return re.sub(r"\W", "", platform.node())[:32] or "host"


def _abandoned(host: str, process: int, start: int, moved: float) -> bool:
    """Return whether the process that made a folder has ended."""
    import psutil

    if host != _host():
        return time.time() - moved > ABANDONED
    try:
        owner = psutil.Process(process)
        ended = owner.status() == psutil.STATUS_ZOMBIE
        return ended or abs(owner.create_time() - start) > CLOCK
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:  # of a process that we may not ask
        return False
