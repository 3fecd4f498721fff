"""The folder of a search: it belongs to one search."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlgn_keras.tools.fields import check_fields
from dlgn_keras.tools.files import read_json, write_json

FACTS = "search.json"
SHARED_SECONDS = 10.0  # a shared file system may show a new file late


def claim(folder: Path, facts: dict[str, Any], first: bool = True) -> None:
    """Record the facts of a search; refuse the folder of another search.

    Args:
        folder: the search's folder.
        facts: json-able values that two searches must share for comparable scores.
        first: whether to claim an unclaimed folder; a worker waits for its chief.

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
    there = read_json(path)
    check_fields(path, there, {name: type(value) for name, value in facts.items()})
    check_fields(path, there, {"space": list[dict]})
    differing = list(_differences("", there, facts))
    if differing:
        raise ValueError(
            f"`out` holds another search ({'; '.join(differing[:4])}). Choose another "
            f"folder, or ask for the same again. Received: out={str(folder)!r}."
        )


def _differences(name: str, there: Any, here: Any) -> Iterator[str]:
    """Yield the differences between two json values, entry by entry."""
    if name == "space":
        theirs, ours = _by_name(there), _by_name(here)
        for entry in {**theirs, **ours}:
            pair = theirs.get(entry, "absent"), ours.get(entry, "absent")
            if pair[0] != pair[1]:
                yield f"the space's {entry} is {pair[0]} there, {pair[1]} here"
        if theirs == ours and list(theirs) != list(ours):
            yield "the space's order differs"
    elif isinstance(there, dict) and isinstance(here, dict):
        for key in {**there, **here}:
            inner = f"{name}.{key}".strip(".")
            yield from _differences(inner, there.get(key), here.get(key))
    elif there != here:
        yield f"{name} is {there!r} there, {here!r} here"


def _by_name(space: list[dict[str, Any]]) -> dict[str, str]:
    """Return each entry of a space as text, without empty fields."""
    found = {}
    for entry in space or ():
        left_out = ("name", "ordered", "default")
        kept = {k: v for k, v in entry.items() if k not in left_out}
        texts = [f"{k} {v}" for k, v in kept.items() if v not in (None, [])]
        found[str(entry.get("name"))] = f"({', '.join(texts)})"
    return found
