"""Tables of experiments as csv, markdown and json, and the figures drawn from them."""

import csv
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlgn_keras.tools.files import make_folder, write_atomically, write_json, write_text
from dlgn_keras.tools.numbers import deviation
from dlgn_keras.tools.palette import BLACK, BLUE, GREEN, ORANGE, YELLOW
from dlgn_keras.tools.terminal import markdown_table

# A pair "x mean", "x std" of columns becomes one column "x" in markdown.
MEAN, STD = " mean", " std"
STYLES = ((BLUE, "o"), (YELLOW, "^"), (BLACK, "x"), (ORANGE, "D"), (GREEN, "s"))
SERIES = {"last": "last epoch", "best": "best epoch", "published": "published"}


@dataclass
class Table:
    """The results of an experiment: lines with the same keys, and notes on them.

    Args:
        title: one line.
        lines: dictionaries with the same keys, in the order of the columns.
        notes: sentences below the table.
        facts: entries of the json file alone: versions, run folders, command.
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
        write_json(folder / "table.json", content)
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


def mean(values: Iterable[float]) -> float | None:
    """Return the mean, rounded for a table; None of no values."""
    values = list(values)
    return round(statistics.fmean(values), 4) if values else None


def mean_std(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """Return the columns "name mean" and "name std"."""
    std = deviation(values)
    std = None if std is None else round(std, 4)
    return {f"{name} mean": mean(values), f"{name} std": std}


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


def draw(path: Path, size: tuple[float, float], fill: Callable[[Any], None]) -> Path:
    """Make a figure with one set of axes, let `fill` draw on it, write it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.add_subplot()
    fill(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    plain(axes)
    write_atomically(path, lambda part: figure.savefig(part, format="png"))
    return path


def plain(axes: Any) -> None:
    """Leave a light grid and two spines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def dots(table: Table, path: Path) -> Path:
    """Draw a line of dots per line of the table: last, best and published accuracy."""
    lines = table.lines

    def fill(axes: Any) -> None:
        for k, (column, label) in enumerate(SERIES.items()):
            found = _known(lines, column)
            heights = [lines.index(line) + 0.22 * (k - 1) for line in found]
            if found:
                _points(axes, found, column, k, label, heights=heights)
        axes.set_yticks(range(len(lines)), [label_of(line) for line in lines])
        axes.set_xlabel("test accuracy, %")
        axes.set_ylim(len(lines) - 0.5, -0.5)
        _title(axes, table)

    return draw(path, (7.5, 1.6 + 0.32 * len(lines)), fill)


def curves(
    table: Table, path: Path, over: str, columns: dict[str, str], what: str
) -> Path:
    """Draw columns of the table as curves over another column.

    Args:
        table: its lines are the points.
        path: the file to write.
        over: column on the horizontal axis.
        columns: {column, or its name before " mean": label}.
        what: label of the vertical axis.
    """

    def fill(axes: Any) -> None:
        for k, (column, label) in enumerate(columns.items()):
            _points(axes, _known(table.lines, column), column, k, label, over=over)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=over, ylabel=what)
        _title(axes, table)

    return draw(path, (7.5, 4.5), fill)


def row_curves(
    table: Table, path: Path, over: str, column: str, what: str, log: bool = False
) -> Path:
    """Draw one column over another, a curve per row, with the spread over seeds."""

    def fill(axes: Any) -> None:
        for k, name in enumerate(rows_of(table)):
            found = [line for line in table.lines if line["row"] == name]
            _points(axes, found, column, k, name, over=over)
        if log:
            points = sorted({line[over] for line in table.lines})
            axes.set_xscale("log")
            axes.set_xticks(points, [str(point) for point in points])
            axes.minorticks_off()
        else:
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=over, ylabel=what)
        _title(axes, table)

    return draw(path, (7.5, 4.5), fill)


def strip(table: Table, path: Path, marked: Callable[[dict[str, Any]], bool]) -> Path:
    """Draw a dot per line, one strip per row; marked lines stand out."""
    names = rows_of(table)

    def fill(axes: Any) -> None:
        for special, (colour, marker), label in (
            (False, STYLES[0], "permuted"),
            (True, STYLES[3], "in place"),
        ):
            found = [
                line for line in _known(table.lines, "last") if marked(line) is special
            ]
            axes.plot(
                [line["last mean"] for line in found],
                [names.index(line["row"]) for line in found],
                label=label,
                color=colour,
                marker=marker,
                linestyle="none",
                alpha=1.0 if special else 0.5,
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("test accuracy after the last epoch, %")
        _title(axes, table)

    return draw(path, (7.5, 1.6 + 0.5 * len(names)), fill)


def intervals(
    table: Table,
    path: Path,
    panels: Sequence[tuple[str, str, list[dict[str, Any]]]],
    by: str,
) -> Path:
    """Draw measures with the halves of their intervals, a line of dots per method.

    Args:
        table: its title is drawn.
        path: the file to write.
        panels: label of the axis, column, lines.
        by: the column that colours tell apart.
    """
    from matplotlib.figure import Figure

    methods = sorted({one["method"] for one in table.lines})
    names = list(dict.fromkeys(one[by] for one in table.lines))
    size = (2.2 + 3.0 * len(panels), 1.6 + 0.5 * len(methods))
    made = Figure(figsize=size, layout="constrained", dpi=120)
    places = made.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, column, lines) in zip(places, panels, strict=True):
        for k, name in enumerate(names):
            colour, marker = STYLES[k % len(STYLES)]
            known = [o for o in lines if o[by] == name and o[column] is not None]
            shift = 0.5 * ((k + 0.5) / len(names) - 0.5)
            axes.errorbar(
                [one[column] for one in known],
                [methods.index(one["method"]) + shift for one in known],
                xerr=[one[f"{column} ±"] for one in known],
                label=name if axes is places[0] else None,
                color=colour,
                marker=marker,
                markersize=5,
                capsize=2,
                linestyle="none",
            )
        axes.set_xlabel(label)
        axes.set_yticks(range(len(methods)), methods)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        plain(axes)
    made.suptitle(table.title, x=0.01, ha="left", fontsize="medium")
    made.legend(loc="outside lower center", ncols=3, frameon=False)
    write_atomically(path, lambda part: made.savefig(part, format="png"))
    return path


def rows_of(table: Table) -> list[str]:
    """Return the names of the table's rows, each once."""
    return list(dict.fromkeys(line["row"] for line in table.lines))


def label_of(line: dict[str, Any]) -> str:
    """Return the label of a line: its columns before "net"."""
    return "  ".join(str(line[k]) for k in list(line)[: list(line).index("net")])


def _name(line: dict[str, Any], column: str) -> str:
    return column if column in line else column + MEAN


def _known(lines: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    return [line for line in lines if line[_name(line, column)] is not None]


def _points(
    axes: Any,
    lines: list[dict[str, Any]],
    column: str,
    k: int,
    label: str,
    over: str = "",
    heights: Sequence[float] = (),
) -> None:
    """Draw a column with its spread: over another one, or to the right at heights."""
    colour, marker = STYLES[k % len(STYLES)]
    values = [line[_name(line, column)] for line in lines]
    stds = [line.get(column + STD) or 0.0 for line in lines]
    spread = stds if any(stds) else None
    style = {"label": label, "color": colour, "marker": marker, "capsize": 2}
    if over:
        axes.errorbar([line[over] for line in lines], values, yerr=spread, **style)
    else:
        style |= {"linestyle": "none", "markersize": 5}
        axes.errorbar(values, heights, xerr=spread, **style)


def _title(axes: Any, table: Table) -> None:
    axes.set_title(table.title, loc="left", fontsize="medium", wrap=True)
