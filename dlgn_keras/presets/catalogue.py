"""presets(): the table of what there is."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dlgn_keras.presets.files import read_metadata
from dlgn_keras.presets.find import preset_folders
from dlgn_keras.tools.messages import closest


class Preset(NamedTuple):
    """One row.

    Fields:
        name: what `from_preset` takes.
        family, skeleton, data: what it is, and what it was trained on.
        value_input: "input" or "ones".
        accuracy: test accuracy at the last epoch, share, mean over seeds.
        std: its standard deviation, None for one seed.
        seeds: how many.
        ratio: accuracy over that of the DNN twin.
        parameters: number of weights.
        folder: where it lies.
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
    """Presets as rows; prints as a table, and picks rows by index or by name."""

    def __init__(self, rows: Sequence[Preset]) -> None:
        self.rows = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            for row in self.rows:
                if row.name == key:
                    return row
            names = [row.name for row in self.rows]
            raise KeyError(f"No preset is called {key!r}.{closest(key, names)}")
        if isinstance(key, slice):
            return PresetTable(self.rows[key])
        return self.rows[key]

    def __iter__(self) -> Iterator[Preset]:
        return iter(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "No presets. Set DLGN_KERAS_ZOO to a zoo's folder."
        lines = [HEADER, *(cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = []
        for line in lines:
            first, *rest = zip(line, widths, strict=True)
            texts.append(
                "  ".join([first[0].ljust(first[1])] + [t.rjust(w) for t, w in rest])
            )
        return "\n".join(texts)


HEADER = ("name", "test accuracy %", "seeds", "% of DNN", "parameters")


def cells(row: Preset) -> tuple[str, ...]:
    """Return a row's texts, as every table of presets shows them."""
    accuracy = "-"
    if row.accuracy is not None:
        accuracy = f"{100 * row.accuracy:.2f}"
        accuracy += "" if row.std is None else f" ± {100 * row.std:.2f}"
    ratio = "-" if row.ratio is None else f"{100 * row.ratio:.1f}"
    seeds = str(row.seeds or "-")
    return (row.name, accuracy, seeds, ratio, f"{row.parameters:,}")


def presets(**wanted: str) -> PresetTable:
    """Return the presets of every zoo that is found, as a table that prints.

    Args:
        wanted: columns and the value each must have, such as family="dlgn" or
            data="mnist".

    Raises:
        ValueError: no column of that name, or damaged metadata.

    Example:
        >>> from dlgn_keras.presets import presets
        >>> "dlgn_fc_digits" in presets(family="dlgn", data="digits").names
        True
    """
    for column in wanted:
        if column not in Preset._fields:
            raise ValueError(
                f"A preset has no column {column!r}.{closest(column, Preset._fields)} "
                f"The columns: {', '.join(Preset._fields)}."
            )
    rows = [row_of(folder) for folder in preset_folders().values()]
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
