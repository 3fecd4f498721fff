"""Figures of the experiments: matplotlib, colours that the colour-blind can tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlgn_keras.experiments.tables import Table
from dlgn_keras.tools.files import write_atomically

# Okabe and Ito's colours, with a marker each for black-and-white print.
BLUE, ORANGE, GREEN, VERMILION, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#000000",
)
STYLES = ((BLUE, "o"), (ORANGE, "^"), (BLACK, "x"), (VERMILION, "D"), (GREEN, "s"))
SERIES = {"last": "last epoch", "best": "best epoch", "published": "published"}


def draw(path: Path, size: tuple[float, float], fill: Callable[[Any], None]) -> Path:
    """Make a figure with one set of axes, let `fill` draw on it, write it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.add_subplot()
    fill(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    write_atomically(path, lambda part: figure.savefig(part, format="png"))
    return path


def dots(table: Table, path: Path) -> Path:
    """Draw a line of dots per line of the table: last, best and published accuracy."""
    lines = table.lines
    heights = range(len(lines))

    def fill(axes: Any) -> None:
        for shift, (column, label) in enumerate(SERIES.items()):
            colour, marker = STYLES[shift]
            name = column if column in lines[0] else f"{column} mean"
            found = [
                (k, line) for k, line in enumerate(lines) if line[name] is not None
            ]
            if not found:
                continue
            axes.errorbar(
                [line[name] for _, line in found],
                [k + 0.22 * (shift - 1) for k, _ in found],
                xerr=_spread(column, [line for _, line in found]),
                label=label,
                color=colour,
                marker=marker,
                linestyle="none",
                markersize=5,
                capsize=2,
            )
        axes.set_yticks(list(heights), [label_of(line) for line in lines])
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
        for (column, label), (colour, marker) in zip(
            columns.items(), STYLES, strict=False
        ):
            name = column if column in table.lines[0] else f"{column} mean"
            found = [line for line in table.lines if line[name] is not None]
            axes.errorbar(
                [line[over] for line in found],
                [line[name] for line in found],
                yerr=_spread(column, found),
                label=label,
                color=colour,
                marker=marker,
                capsize=2,
            )
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(over)
        axes.set_ylabel(what)
        _title(axes, table)

    return draw(path, (7.5, 4.5), fill)


def row_curves(
    table: Table, path: Path, over: str, column: str, what: str, log: bool = False
) -> Path:
    """Draw one column over another, a curve per row, with the spread over seeds."""
    names = list(dict.fromkeys(line["row"] for line in table.lines))

    def fill(axes: Any) -> None:
        for name, (colour, marker) in zip(names, STYLES, strict=False):
            found = [line for line in table.lines if line["row"] == name]
            axes.errorbar(
                [line[over] for line in found],
                [line[f"{column} mean"] for line in found],
                yerr=_spread(column, found),
                label=name,
                color=colour,
                marker=marker,
                capsize=2,
            )
        if log:
            points = sorted({line[over] for line in table.lines})
            axes.set_xscale("log")
            axes.set_xticks(points, [str(point) for point in points])
            axes.minorticks_off()
        else:
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(over)
        axes.set_ylabel(what)
        _title(axes, table)

    return draw(path, (7.5, 4.5), fill)


def strip(table: Table, path: Path, marked: Callable[[dict[str, Any]], bool]) -> Path:
    """Draw a dot per line, one strip per row; marked lines stand out."""
    names = list(dict.fromkeys(line["row"] for line in table.lines))

    def fill(axes: Any) -> None:
        for special, (colour, marker), label in (
            (False, STYLES[0], "permuted"),
            (True, STYLES[3], "in place"),
        ):
            found = [line for line in table.lines if marked(line) is special]
            found = [line for line in found if line["last mean"] is not None]
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


def label_of(line: dict[str, Any]) -> str:
    """Return what a line is called: its columns before "net"."""
    return "  ".join(str(line[k]) for k in list(line)[: list(line).index("net")])


def _spread(column: str, lines: list[dict[str, Any]]) -> list[float] | None:
    """Return error bars where a standard deviation is known."""
    spread = [line.get(f"{column} std") for line in lines]
    return [s or 0.0 for s in spread] if any(spread) else None


def _title(axes: Any, table: Table) -> None:
    axes.set_title(table.title, loc="left", fontsize="medium", wrap=True)
