"""The files of a preset folder and their sha256."""

import hashlib
from pathlib import Path
from typing import Any

from dlgn_keras.tools.files import read_json, write_json

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
GOLDEN = "golden.npz"
METADATA = "metadata.json"
RUNS = "runs.json"
CARD = "CARD.md"
PICTURE = "curves.png"

NEEDED = (CONFIG, WEIGHTS, GOLDEN)
KNOWN = (*NEEDED, RUNS, CARD, PICTURE)
FORMAT = 1


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a preset folder, the form of its hashes checked.

    Raises:
        FileNotFoundError: the folder holds no metadata.json.
        ValueError: metadata that are damaged, of another format, or that name
            files no preset has.
    """
    path = folder / METADATA
    if not path.is_file():
        raise FileNotFoundError(
            f"`preset` must be a preset folder. Received: {str(folder)!r}, "
            f"where no {METADATA} is."
        )
    metadata = read_json(path)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"{path} must be a preset's metadata of format {FORMAT}.")
    hashes = metadata.get("sha256")
    if not isinstance(hashes, dict) or not set(NEEDED) <= set(hashes):
        raise ValueError(f"{path} must hold the sha256 of {', '.join(NEEDED)}.")
    unknown = sorted(set(hashes) - set(KNOWN))
    if unknown:
        raise ValueError(
            f"{path} must name no files but {', '.join(KNOWN)}. "
            f"Received: {unknown[0]!r}."
        )
    return metadata


def check_files(folder: Path) -> dict[str, Any]:
    """Compare the sha256 of every file with the metadata; return the metadata.

    Raises:
        ValueError: a file is missing or differs.
    """
    metadata = read_metadata(folder)
    for name, expected in metadata["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"The preset in {folder} is not whole: no {name}.")
        found = sha256(path)
        if found != expected:
            raise ValueError(
                f"{path} is damaged or belongs to another preset: its sha256 is "
                f"{found}, the metadata say {expected}."
            )
    return metadata


def seal(folder: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata with the sha256 of every other file in the folder."""
    there = [name for name in KNOWN if (folder / name).is_file()]
    hashes = {name: sha256(folder / name) for name in there}
    write_json(folder / METADATA, {**metadata, "sha256": hashes})
