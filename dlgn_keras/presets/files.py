"""A preset folder: which files it holds, their sha256, whole or not at all."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

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


def read_json(path: Path) -> Any:
    """Return what a json file holds; damage is a ValueError that names it."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from None


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a preset folder, its table of hashes checked for form.

    Raises:
        FileNotFoundError: the folder holds no metadata.json.
        ValueError: metadata that is damaged, of another format, or that names
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
    """Hash every file of a preset, compare with its metadata, return the metadata.

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
    """Write the metadata with the sha256 of every file that is in the folder."""
    there = [name for name in KNOWN if (folder / name).is_file()]
    hashes = {name: sha256(folder / name) for name in there}
    text = json.dumps({**metadata, "sha256": hashes}, indent=2) + "\n"
    (folder / METADATA).write_text(text)


def part_folder(folder: Path) -> Path:
    """Make and return an empty folder beside `folder`, to fill and then publish.

    Raises:
        ValueError: no folder can be made there.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    except OSError as error:
        raise ValueError(
            f"`folder` must lie where one can write: {error.strerror}. "
            f"Received: folder={str(folder)!r}."
        ) from None
    return part


def publish(part: Path, folder: Path) -> None:
    """Move a finished folder into place; an older preset there is taken away."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
