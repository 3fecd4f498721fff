"""The files of a preset folder and their sha256."""

import hashlib
import json
from pathlib import Path
from typing import Any

from dlgn_keras.tools.fields import check_fields
from dlgn_keras.tools.files import check_size, read_json, write_json
from dlgn_keras.tools.messages import printable

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
# The most bytes that a file may have, here or on a server.
LIMITS = {METADATA: 4 << 20, CONFIG: 4 << 20, CARD: 4 << 20} | {
    RUNS: 64 << 20,
    PICTURE: 64 << 20,
    GOLDEN: 256 << 20,
    WEIGHTS: 4 << 30,
}
# What is read of metadata.json; further fields may be of any type.
FIELDS = {
    **dict.fromkeys(("name", "family", "skeleton", "description", "licence"), str),
    **dict.fromkeys(("command", "weights_dtype", "date_saved", "setting"), str),
    "parameter_count": int,
    "sha256": dict[str, str],
    "data": {
        "name": str,
        "terms": str,
        "class_names": list[str],
        "input_shape": list[int],
        "raw_range": tuple[float, float] | None,
        "usual": dict[str, tuple[float, float]] | None,
        "loss": str | None,
    },
    "recipe": {
        "skeleton": str | dict[str, object],
        **dict.fromkeys(("regime", "optimizer", "schedule", "augmentation"), str),
        "value_input": str,
        "epochs": int,
        "batch_size": int,
        "learning_rate": float,
    },
    "results": {
        "seeds": list[int],
        "test_accuracy": list[float],
        "mean": float,
        "dnn_twin": str,
        **dict.fromkeys(("std", "stored_weights", "hard_gates"), float | None),
        "ratio_to_dnn": float | None,
    },
    "training": {
        "seconds": list[float],
        "environment": {"commit": str, "processor": str},
    },
}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a preset folder: fields checked, all text printable.

    Raises:
        FileNotFoundError: the folder holds no metadata.json.
        ValueError: metadata that are damaged, of another format, with a field of
            another type, or that name files no preset has.
    """
    path = folder / METADATA
    if not path.is_file():
        raise FileNotFoundError(
            f"`preset` must be a preset folder. Received: {str(folder)!r}, "
            f"where no {METADATA} is."
        )
    try:
        metadata = _printable(read_json(path, LIMITS[METADATA]))
    except RecursionError as error:
        raise ValueError(f"{path} is damaged: {error}.") from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"{path} must be a preset's metadata of format {FORMAT}.")
    check_fields(path, metadata, FIELDS)
    hashes = metadata.get("sha256", {})
    if not set(NEEDED) <= set(hashes):
        raise ValueError(f"{path} must hold the sha256 of {', '.join(NEEDED)}.")
    unknown = sorted(set(hashes) - set(KNOWN))
    if unknown:
        raise ValueError(
            f"{path} must name no files but {', '.join(KNOWN)}. "
            f"Received: {unknown[0]!r}."
        )
    return metadata


def _printable(value: Any) -> Any:
    """Return json with all its strings made printable."""
    if isinstance(value, dict):
        return {printable(key): _printable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_printable(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


def check_files(folder: Path) -> dict[str, Any]:
    """Compare the sha256 of every file with the metadata; return the metadata.

    This tells damage and mixed files, not who wrote them: whoever changes a file can
    change its sha256 beside it. An address with #sha256= tells that too.

    Raises:
        ValueError: a file is missing or differs.
    """
    metadata = read_metadata(folder)
    for name, expected in metadata["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"The preset in {folder} is not whole: no {name}.")
        check_size(path, LIMITS[name])
        found = sha256(path)
        if found != expected:
            raise ValueError(
                f"{path} is damaged or belongs to another preset: its sha256 is "
                f"{found}, the metadata say {expected}."
            )
    return metadata


def seal(folder: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata with the sha256 of every other file in the folder.

    Raises:
        ValueError: metadata that `read_metadata` would refuse.
    """
    try:
        check_fields("`metadata`", json.loads(json.dumps(metadata)), FIELDS)
    except TypeError as error:
        raise ValueError(f"`metadata` must be ready for json: {error}.") from None
    there = [name for name in KNOWN if (folder / name).is_file()]
    hashes = {name: sha256(folder / name) for name in there}
    write_json(folder / METADATA, {**metadata, "sha256": hashes})
