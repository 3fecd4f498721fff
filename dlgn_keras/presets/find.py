"""Where a preset is: a folder, a zoo, an address."""

import os
import re
from pathlib import Path
from typing import Any

from dlgn_keras.presets import download
from dlgn_keras.presets.files import METADATA, read_json
from dlgn_keras.tools.messages import closest

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
INDEX = "index.json"
FORMS = "a preset's name, a folder, https://... or hf://owner/repository"


def zoo_folders() -> list[Path]:
    """Return the zoos to look in: DLGN_KERAS_ZOO, the checkout's, `./zoo`."""
    given = os.environ.get("DLGN_KERAS_ZOO", "").split(os.pathsep)
    folders = [Path(part).expanduser() for part in given if part]
    for checkout in (Path(__file__).resolve().parents[2], Path.cwd()):
        folder = checkout / "zoo"
        if (folder / INDEX).is_file() and folder not in folders:
            folders.append(folder)
    return [folder for folder in folders if folder.is_dir()]


def preset_folders() -> dict[str, Path]:
    """Return every preset of every zoo by name; the first zoo wins."""
    found: dict[str, Path] = {}
    for zoo in zoo_folders():
        for path in sorted(zoo.glob(f"*/{METADATA}")):
            if NAME.fullmatch(path.parent.name):
                found.setdefault(path.parent.name, path.parent)
    return found


def find(preset: str | os.PathLike[str]) -> Path:
    """Return the folder of a preset, downloaded first if it lies elsewhere.

    Looks for a folder of that path, then for the name in the zoos, then for the
    address that a zoo's index.json gives for the name.

    Args:
        preset: name, folder, https://... or hf://owner/repository; an address may
            end in #sha256=<64 hex digits> of its metadata.json.

    Raises:
        ValueError: an unknown name, with the closest match, or an odd address.
        FileNotFoundError: the folder is not there, or no network to fetch it.
    """
    text = os.fspath(preset)
    if "://" in text:
        return download.fetch(text)
    if os.sep in text or text.startswith((".", "~")) or not isinstance(preset, str):
        folder = Path(text).expanduser()
        if "\0" in text or not folder.is_dir():
            raise FileNotFoundError(
                f"`preset` must be {FORMS}. Received: preset={text!r}, no such folder."
            )
        return folder
    if not NAME.fullmatch(text):
        raise ValueError(
            f"`preset` must be {FORMS}; a name has a-z, 0-9 and _ only. "
            f"Received: preset={text!r}."
        )
    if (Path(text) / METADATA).is_file():
        return Path(text)
    known = preset_folders()
    if text in known:
        return known[text]
    handles = index_handles()
    if text in handles:
        return download.fetch(handles[text])
    raise ValueError(_unknown(text, [*known, *handles]))


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return (
            f"No preset is called {name!r}: no zoo was found. Set DLGN_KERAS_ZOO to "
            f"the folder that holds {INDEX}, or give {FORMS}."
        )
    return (
        f"No preset is called {name!r}.{closest(name, known)} "
        f"`dk.presets()` lists all {len(known)}; or give {FORMS}."
    )


def index_handles() -> dict[str, str]:
    """Return {name: address} of the presets that an index says where to fetch."""
    found: dict[str, str] = {}
    for zoo in zoo_folders():
        path = zoo / INDEX
        rows: Any = read_json(path).get("presets", []) if path.is_file() else []
        for row in rows:
            if row.get("handle"):
                found.setdefault(row["name"], row["handle"])
    return found
