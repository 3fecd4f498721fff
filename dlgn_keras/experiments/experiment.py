"""Experiment: what one is, and the one way in which all of them are run."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlgn_keras.experiments import figures
from dlgn_keras.experiments.cells import Cell, Measured, change, measure, select
from dlgn_keras.experiments.registry import EXPERIMENTS, SCALES
from dlgn_keras.experiments.runs import Runs
from dlgn_keras.experiments.tables import Table
from dlgn_keras.tools.messages import check_choice, check_count

ACCURACIES = (
    "Test accuracy in %, mean ± standard deviation over seeds. `last` is the headline: "
    "after the last epoch. `best` is the best epoch's, chosen on the test set as the "
    "papers do, and so optimistic."
)
PUBLISHED = (
    "`published` is the paper's figure for its full set-up, whatever `net`, `data` and "
    "`epochs` are here."
)


@dataclass(frozen=True)
class Experiment:
    """A published table or figure that can be made again.

    Args:
        name: what the command line calls it.
        title: what it shows, one line.
        source: where it was published.
        needs: {scale: data and packages beyond the basic ones}.
        time: {scale: roughly how long}.
        cells: scale -> what is trained for the lines of its table.
        columns: measured cells -> {column: value} to add to each line.
        notes: sentences below the table.
        figure: (table, file) -> draws the table.
        run: in place of all that, for an experiment that trains nothing or
            measures something else than accuracy.
    """

    name: str
    title: str
    source: str
    needs: dict[str, str]
    time: dict[str, str]
    cells: Callable[[str], list[Cell]] | None = None
    columns: Callable[[Sequence[Measured]], list[dict[str, Any]]] | None = None
    notes: tuple[str, ...] = ()
    figure: Callable[[Table, Path], Any] = figures.dots
    run: Callable[["Call"], Table] | None = None


@dataclass(frozen=True)
class Call:
    """An experiment as asked for: where, at which scale, how often, what changed."""

    experiment: Experiment
    runs: Runs
    scale: str
    seeds: int
    rows: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the table and the figure go."""
        return self.runs.out / f"{self.experiment.name}-{self.scale}"

    @property
    def command(self) -> str:
        """The command that makes the same table."""
        words = ["dlgn-keras", "reproduce", self.experiment.name]
        words += ["--scale", self.scale, "--seeds", str(self.seeds)]
        if self.rows:
            words += ["--rows", ",".join(self.rows)]
        for name, value in self.changes.items():
            text = value if isinstance(value, str) else json.dumps(value).strip("[]")
            words += [f"--{name.replace('_', '-')}", text]
        return shlex.join(words)

    def run(self) -> Table:
        """Run the experiment; leave table and figure in its folder."""
        if self.experiment.run is not None:
            return self.experiment.run(self)
        measured = self.measure(self.cells())
        table = self.table(measured)
        self.write(table)
        return table

    def cells(self) -> list[Cell]:
        """Return the experiment's cells: the rows asked for, fields changed."""
        if self.experiment.cells is None:
            raise ValueError(f"Experiment {self.experiment.name} has no cells.")
        cells = select(self.experiment.cells(self.scale), self.rows)
        return change(cells, self.changes)

    def measure(self, cells: Sequence[Cell]) -> list[Measured]:
        """Train cells; the table on disk is up to date after every run."""
        return measure(
            self.runs, cells, self.seeds, lambda m: self.table(m).write(self.folder)
        )

    def table(self, measured: Sequence[Measured]) -> Table:
        """Return the table of measured cells, all seeds so far."""
        lines = [one.line() for one in measured]
        if self.experiment.columns is not None:
            for line, more in zip(
                lines, self.experiment.columns(measured), strict=True
            ):
                line.update(more)
        notes = [ACCURACIES]
        if any(one.cell.published is not None for one in measured):
            notes.append(PUBLISHED)
        return self.make_table(lines, notes)

    def make_table(self, lines: list[dict[str, Any]], notes: Sequence[str]) -> Table:
        """Return a table of this experiment, with what is needed to make it again."""
        experiment = self.experiment
        results = list(self.runs.asked.values())
        environments = {tuple(result.environment.items()) for result in results}
        facts = {
            "experiment": experiment.name,
            "source": experiment.source,
            "scale": self.scale,
            "seeds": self.seeds,
            "rows": list(self.rows),
            "changes": {k: str(v) for k, v in self.changes.items()},
            "command": self.command,
            "environments": [dict(items) for items in sorted(environments)],
            "seconds": round(sum(result.seconds for result in results), 1),
            "runs": list(self.runs.asked),
        }
        return Table(
            f"{experiment.title} ({self.scale} scale)",
            lines,
            (*notes, *experiment.notes, f"Published: {experiment.source}."),
            facts,
        )

    def write(self, table: Table) -> None:
        """Write table.csv, table.md, table.json and figure.png."""
        table.write(self.folder)
        self.experiment.figure(table, self.folder / "figure.png")


def reproduce(
    name: str,
    out: str | Path,
    scale: str = "small",
    seeds: int = 3,
    *,
    rows: Sequence[str] = (),
    data_dir: str | None = None,
    progress: bool = True,
    changes: dict[str, Any] | None = None,
) -> Table:
    """Make a published table and figure again.

    Writes table.csv, table.md, table.json and figure.png into the folder
    "<name>-<scale>" of `out`, and every training run into a folder of its own
    in "runs" beside it. What is there is not trained again, also not for
    another experiment or with more seeds; an interrupted run goes on.

    Args:
        name: one of `EXPERIMENTS`.
        out: folder for this and other experiments.
        scale: "small", minutes on two CPU cores with narrower nets on smaller
            data, or "paper", the published set-up.
        seeds: number of seeds, 0, 1, ...
        rows: names of the table's rows to make, or "row/label" for the lines of a
            row with that label ("gconv-adam/DNN"); none means all.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        progress: whether to tell on stderr what goes on.
        changes: fields of `Recipe` set in every run, such as `{"epochs": 2}`.

    Returns:
        The table.

    Raises:
        ValueError: unknown name, scale, row or recipe field, with the closest
            match; a run folder made by another recipe.

    Example:
        >>> import tempfile
        >>> from dlgn_keras.experiments import reproduce
        >>> few = {"epochs": 1, "num_train": 64}
        >>> with tempfile.TemporaryDirectory() as out:
        ...     table = reproduce("regimes", out, seeds=1, rows=["fc-sgd"],
        ...                       progress=False, changes=few)
        >>> [line["regime"] for line in table.lines][:3]
        ['DNN', 'FRNPF(II)', 'FRNPF(DI)']
    """
    check_choice("name", name, EXPERIMENTS)
    check_choice("scale", scale, SCALES)
    check_count("seeds", seeds)
    if isinstance(rows, str):
        raise ValueError(f"`rows` must be a list of names. Received: rows={rows!r}.")
    runs = Runs(out, data_dir, progress)
    call = Call(EXPERIMENTS[name], runs, scale, seeds, tuple(rows), changes or {})
    return call.run()
