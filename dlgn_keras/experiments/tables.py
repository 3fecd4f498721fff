"""Tables: the same lines as csv, markdown and json, written whole or not at all."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlgn_keras.tools.files import make_folder, write_atomically, write_text
from dlgn_keras.tools.terminal import markdown_table

# A pair "x mean", "x std" of columns becomes one column "x" in markdown.
MEAN, STD = " mean", " std"


@dataclass
class Table:
    """What an experiment measured: lines with the same keys, and what they mean.

    Args:
        title: one line.
        lines: dictionaries with the same keys, in the order of the columns.
        notes: sentences below the table.
        facts: what goes into the json file only: versions, run folders, command.
    """

    title: str
    lines: list[dict[str, Any]]
    notes: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: str | Path) -> Path:
        """Write table.csv, table.md and table.json; return the folder."""
        folder = make_folder(folder)
        write_atomically(folder / "table.csv", self._write_csv)
        write_text(folder / "table.md", self.markdown())
        content = {"title": self.title, "notes": list(self.notes), **self.facts}
        content["lines"] = self.lines
        write_text(folder / "table.json", json.dumps(content, indent=2) + "\n")
        return folder

    def _write_csv(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.lines[0]))
            writer.writeheader()
            writer.writerows(self.lines)

    def markdown(self) -> str:
        """Return the title, the table and the notes as markdown."""
        notes = "".join(f"\n{note}\n" for note in self.notes)
        return f"# {self.title}\n\n{markdown_table(*self.texts())}\n{notes}"

    def texts(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows as they are shown."""
        lines = [shown(line) for line in self.lines]
        return list(lines[0]), [list(line.values()) for line in lines]


def shown(line: dict[str, Any]) -> dict[str, str]:
    """Return a line as text: mean ± std in one column, blanks for what is not there."""
    texts: dict[str, str] = {}
    for name, value in line.items():
        if name.endswith(STD) and name.removesuffix(STD) + MEAN in line:
            if value is not None:
                texts[name.removesuffix(STD)] += f" ± {value:.2g}"
        else:
            texts[name.removesuffix(MEAN)] = _text(value)
    return texts


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
