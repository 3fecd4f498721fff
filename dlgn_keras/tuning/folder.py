"""The folder of a search: whose it is, and that one process at a time leads it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlgn_keras.tools.files import read_json, write_json

FACTS = "search.json"
SHARED_SECONDS = 10.0  # a shared file system may show a new file late


def claim(folder: Path, facts: dict[str, Any], first: bool = True) -> None:
    """Write what is searched into the folder; refuse one that searches something else.

    Args:
        folder: the search's folder.
        facts: json-able values that decide what a score means.
        first: whether to claim a folder that nobody has claimed; a worker waits
            for its chief to have done so.

    Raises:
        ValueError: another search's folder, with what differs.
    """
    path = folder / FACTS
    facts = json.loads(json.dumps(facts))
    if first and not path.is_file():
        write_json(path, facts)
    deadline = time.monotonic() + SHARED_SECONDS
    while not path.is_file():
        if time.monotonic() > deadline:
            raise ValueError(
                "`out` must be the chief's folder, seen by all machines; it has no "
                f"{FACTS} here. Received: out={str(folder)!r}."
            )
        time.sleep(0.2)
    differing = list(_differences("", read_json(path), facts))
    if differing:
        raise ValueError(
            f"`out` holds another search ({'; '.join(differing[:4])}). Choose another "
            f"folder, or ask for the same again. Received: out={str(folder)!r}."
        )


def _differences(name: str, there: Any, here: Any) -> Iterator[str]:
    """Say what differs between two json values, entry by entry."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *(key for key in here if key not in there)]:
            if there.get(key) != here.get(key):
                inner = f"{name}.{key}".strip(".")
                yield from _differences(inner, there.get(key), here.get(key))
        return
    if name == "space":
        ours, theirs = _by_name(list(here)), _by_name(list(there))
        for entry in [*theirs, *(entry for entry in ours if entry not in theirs)]:
            if ours.get(entry) != theirs.get(entry):
                yield (
                    f"the space's {entry} is {_shown(theirs.get(entry))} there, "
                    f"{_shown(ours.get(entry))} here"
                )
        if set(ours.items()) == set(theirs.items()):
            yield "the space's order differs"
        return
    yield f"{name} is {there!r} there, {here!r} here"


def _by_name(space: list[dict[str, Any]]) -> dict[str, str]:
    return {
        entry["name"]: ", ".join(
            f"{key} {value}"
            for key, value in entry.items()
            if key not in ("name", "ordered", "default") and value not in (None, [])
        )
        for entry in space
    }


def _shown(entry: str | None) -> str:
    return "absent" if entry is None else f"({entry})"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Lead the search of a folder, unless another process does.

    Raises:
        ValueError: another process leads it.
    """
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                "`out` must be a folder that no other search is using now. "
                f"Received: out={str(folder)!r}."
            ) from None
        yield
