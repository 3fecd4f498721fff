"""Find presets: the folder of a name, a path or an address, and the table of all."""

import html
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dlgn_keras.presets import download
from dlgn_keras.presets.files import LIMITS, METADATA, read_metadata
from dlgn_keras.tools.fields import check_fields
from dlgn_keras.tools.files import expanded, read_json
from dlgn_keras.tools.folders import recover
from dlgn_keras.tools.messages import closest, one_line
from dlgn_keras.tools.numbers import percent

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
INDEX = "index.json"
INDEX_ROW = {"name": str, "handle": str | None}
FORMS = "a preset's name, a folder, https://... or hf://owner/repository"
HEADER = ("name", "test accuracy %", "seeds", "% of DNN", "parameters")


# -- folders -------------------------------------------------------------------


def zoo_folders() -> list[Path]:
    """Return the zoos: those of DLGN_KERAS_ZOO, then `./zoo`, then the installed one.

    The installed zoo lies in the package; in a checkout it lies beside the package.
    """
    given = os.environ.get("DLGN_KERAS_ZOO", "").split(os.pathsep)
    folders = [expanded(part, "DLGN_KERAS_ZOO") for part in given if part]
    package = Path(__file__).resolve().parents[1]
    for place in (Path.cwd(), package, package.parent):
        folder = place / "zoo"
        if (folder / INDEX).is_file() and folder not in folders:
            folders.append(folder)
    return [folder for folder in folders if folder.is_dir()]


def preset_folders() -> dict[str, Path]:
    """Return every preset of every zoo by name; the first zoo wins."""
    found: dict[str, Path] = {}
    for zoo in zoo_folders():
        recover(zoo)
        for path in sorted(zoo.glob(f"*/{METADATA}")):
            if NAME.fullmatch(path.parent.name):
                found.setdefault(path.parent.name, path.parent)
    return found


def index_handles() -> dict[str, str]:
    """Return {name: address} of the presets that a zoo's index gives an address for."""
    found: dict[str, str] = {}
    for zoo in zoo_folders():
        path = zoo / INDEX
        if not path.is_file():
            continue
        try:
            index = read_json(path, LIMITS[METADATA])
            check_fields(path, index, {"presets": list[object]})
            rows = index.get("presets", [])
            for k, row in enumerate(rows):
                check_fields(path, row, INDEX_ROW, f"presets[{k}]")
        except ValueError as error:
            warnings.warn(f"Left out: {one_line(error)}", stacklevel=2)
            continue
        for row in rows:
            if row.get("handle") and row.get("name"):
                found.setdefault(row["name"], row["handle"])
    return found


def find(preset: str | os.PathLike[str]) -> Path:
    """Return the folder of a preset, downloaded if it is an address.

    Looks for a folder of that path, then for the name in the zoos (DLGN_KERAS_ZOO,
    `./zoo`, the installed one), then for the address that a zoo's index.json gives
    for the name.

    Args:
        preset: name, folder, https://... or hf://owner/repository; an address may
            end in #sha256=<64 hex digits> of its metadata.json.

    Raises:
        ValueError: an unknown name, with the closest match, or a malformed address.
        FileNotFoundError: no such folder, or no network to fetch it.
    """
    text = os.fspath(preset)
    if "://" in text:
        return download.fetch(text)
    if os.sep in text or text.startswith((".", "~")) or not isinstance(preset, str):
        folder = expanded(text, "preset")
        recover(folder.parent)
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"`preset` must be {FORMS}. Received: preset={text!r}, no such folder."
            )
        return folder
    recover(Path())
    if os.path.isfile(Path(text) / METADATA):
        return Path(text)
    if not NAME.fullmatch(text):
        raise ValueError(
            f"`preset` must be {FORMS}; a name has a-z, 0-9 and _ only. "
            f"Received: preset={text!r}."
        )
    known = preset_folders()
    if text in known:
        return known[text]
    handles = index_handles()
    if text in handles:
        return download.fetch(handles[text])
    names = [*known, *handles]
    if not names:
        raise ValueError(
            f"No preset is called {text!r}: no zoo was found. Set DLGN_KERAS_ZOO to "
            f"the folder that holds {INDEX}, or give {FORMS}."
        )
    raise ValueError(
        f"No preset is called {text!r}.{closest(text, names)} "
        f"`dk.presets()` lists all {len(names)}; or give {FORMS}."
    )


# -- the table -----------------------------------------------------------------


class Preset(NamedTuple):
    """A row of the table of presets.

    Fields:
        name: as `from_preset` takes it.
        family, skeleton, data: family and skeleton of the model, its training data.
        value_input: "input" or "ones".
        accuracy: test accuracy at the last epoch, a share, mean over seeds.
        std: its standard deviation, None for one seed.
        seeds: number of seeds.
        ratio: accuracy over that of the DNN twin.
        parameters: number of weights.
        folder: where the preset lies.
    """

    name: str
    family: str
    skeleton: str
    data: str
    value_input: str
    accuracy: float | None
    std: float | None
    seeds: int
    ratio: float | None
    parameters: int
    folder: Path


class PresetTable(Sequence):
    """Presets as rows; prints as a table, indexed by number or by name."""

    def __init__(self, rows: Sequence[Preset]) -> None:
        self.rows = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(
                    f"No preset is called {key!r}.{closest(key, self.names)}"
                )
            return self.rows[self.names.index(key)]
        return PresetTable(self.rows[key]) if isinstance(key, slice) else self.rows[key]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows)

    def _repr_html_(self) -> str:
        """Return the table as notebooks show it."""
        if not self.rows:
            return html.escape(repr(self))

        def line(tag: str, texts: Sequence[str]) -> str:
            inner = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
            return f"<tr>{inner}</tr>"

        body = "".join(line("td", cells(row)) for row in self.rows)
        return (
            f"<table><thead>{line('th', HEADER)}</thead><tbody>{body}</tbody></table>"
        )

    def __repr__(self) -> str:
        if not self.rows:
            return "No presets. Set DLGN_KERAS_ZOO to a zoo's folder."
        lines = [HEADER, *(cells(row) for row in self.rows)]
        first, *rest = (max(map(len, column)) for column in zip(*lines, strict=True))
        return "\n".join(
            "  ".join([name.ljust(first), *map(str.rjust, texts, rest)])
            for name, *texts in lines
        )


def cells(row: Preset) -> tuple[str, ...]:
    """Return the texts of a row, as every table of presets shows them."""
    accuracy = percent(row.accuracy, row.std) or "-"
    ratio = percent(row.ratio, digits=1) or "-"
    return (row.name, accuracy, str(row.seeds or "-"), ratio, f"{row.parameters:,}")


def presets(**wanted: str) -> PresetTable:
    """Return the presets of all zoos as a table that prints.

    Args:
        wanted: columns and the value each must have, such as family="dlgn" or
            data="mnist".

    Presets with damaged metadata are left out, with a warning.

    Raises:
        ValueError: no column of that name, or a value that no preset has.

    Example:
        >>> import dlgn_keras as dk
        >>> "dlgn_fc_digits" in dk.presets(family="dlgn", data="digits").names
        True
    """
    for column in wanted:
        if column not in Preset._fields:
            raise ValueError(
                f"A preset has no column {column!r}.{closest(column, Preset._fields)} "
                f"The columns: {', '.join(Preset._fields)}."
            )
    rows = []
    for folder in preset_folders().values():
        try:
            rows.append(row_of(folder))
        except ValueError as error:
            warnings.warn(f"Left out: {one_line(error)}", stacklevel=3)
    for column, value in wanted.items():
        known = sorted({str(getattr(row, column)) for row in rows})
        if rows and str(value) not in known:
            raise ValueError(
                f"No preset has {column}={value!r}.{closest(str(value), known)} "
                f"There are: {', '.join(known)}."
            )
    return PresetTable(
        [r for r in rows if all(getattr(r, c) == v for c, v in wanted.items())]
    )


def row_of(folder: Path) -> Preset:
    """Return the row of a preset folder, from its metadata."""
    metadata = read_metadata(folder)
    results = metadata.get("results", {})
    return Preset(
        name=folder.name,
        family=metadata.get("family", ""),
        skeleton=metadata.get("skeleton", ""),
        data=metadata.get("data", {}).get("name", ""),
        value_input=metadata.get("recipe", {}).get("value_input", "input"),
        accuracy=results.get("mean"),
        std=results.get("std"),
        seeds=len(results.get("seeds", ())),
        ratio=results.get("ratio_to_dnn"),
        parameters=metadata.get("parameter_count", 0),
        folder=folder,
    )
