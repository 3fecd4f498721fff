"""Experiment: a published table or figure; its cells are trained and put in lines."""

import dataclasses
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlgn_keras.experiments import EXPERIMENTS, SCALES
from dlgn_keras.experiments.runs import BEST, Keep, Runs, kept_model
from dlgn_keras.experiments.tables import Table, dots, mean_std
from dlgn_keras.skeletons import Conv, Dense, Skeleton, walk
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.training import Recipe, Result

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
class Cell:
    """One line of a table: a recipe, and its published result.

    Args:
        labels: columns that identify the line, first of all "row".
        recipe: the training run, whatever its seed.
        gates_of: recipe of the run whose gates are copied and frozen (FLNPF);
            None: the recipe's own regime.
        gates_epoch: number of epochs of that run; `BEST`: its best epoch by test
            accuracy; None: its last.
        published: published test accuracy in %, None if there is none.
    """

    labels: dict[str, str]
    recipe: Recipe
    gates_of: Recipe | None = None
    gates_epoch: int | str | None = None
    published: float | None = None


@dataclass
class Measured:
    """A cell with the results of its seeds, and of the runs its gates come from."""

    cell: Cell
    results: list[Result] = field(default_factory=list)
    sources: list[Result] = field(default_factory=list)

    def line(self) -> dict[str, Any]:
        """Return the table's line: accuracies in %, mean and std over seeds."""
        recipe, results = self.cell.recipe, self.results
        last = [100 * result.test_accuracy for result in results]
        best = [100 * result.best_test_accuracy for result in results]
        return {
            **self.cell.labels,
            "net": describe(recipe.skeleton),
            "data": recipe.data,
            "epochs": recipe.epochs,
            "seeds": len(results),
            **mean_std("last", last),
            **mean_std("best", best),
            "published": self.cell.published,
        }


def describe(skeleton: Any) -> str:
    """Return a skeleton's name and widths, as for a table.

    Example:
        >>> from dlgn_keras import skeletons
        >>> from dlgn_keras.experiments.experiment import describe
        >>> describe(skeletons.gconv())
        'gconv 2x64 2x128 2x256'
    """
    if not isinstance(skeleton, Skeleton):
        raise TypeError(f"`skeleton` must be a Skeleton. Received: {skeleton!r}.")
    runs: list[list[int]] = []
    for stage in walk(skeleton.stages):
        if not isinstance(stage, Conv | Dense):
            continue
        width = stage.filters if isinstance(stage, Conv) else stage.units
        if runs and runs[-1][1] == width:
            runs[-1][0] += 1
        else:
            runs.append([1, width])
    return " ".join([skeleton.name, *(f"{n}x{width}" for n, width in runs)])


def select(cells: Sequence[Cell], rows: Sequence[str] | None) -> list[Cell]:
    """Return the cells of the named rows, or all of them.

    Args:
        cells: to choose from.
        rows: names of rows, or "row/label" for the cells of a row with that label.

    Raises:
        ValueError: an unknown row or label, with the closest match.

    Example:
        >>> from dlgn_keras.experiments import EXPERIMENTS
        >>> from dlgn_keras.experiments.experiment import select
        >>> cells = EXPERIMENTS["families"].cells("small")
        >>> len(select(cells, ["c4gap-digits"]))
        3
        >>> len(select(cells, ["c4gap-digits/DNN", "c4gap-digits/DLGN"]))
        2
    """
    chosen: list[Cell] = []
    for name in rows or ():
        row, _, label = name.partition("/")
        check_choice("rows", row, dict.fromkeys(cell.labels["row"] for cell in cells))
        found = [cell for cell in cells if cell.labels["row"] == row]
        if label:
            check_choice("rows", name, [f"{row}/{x}" for x in _labels(found)])
            found = [cell for cell in found if label in _labels([cell])]
        chosen += found
    return [cell for cell in cells if not rows or cell in chosen]


def _labels(cells: Sequence[Cell]) -> list[str]:
    """Return the labels that distinguish the cells of a row."""
    found = [x for cell in cells for key, x in cell.labels.items() if key != "row"]
    return list(dict.fromkeys(found))


def change(cells: Sequence[Cell], changes: dict[str, Any]) -> list[Cell]:
    """Return the cells with some recipe fields changed, in gates' sources too."""
    if not changes:
        return list(cells)
    for name in ("family", "regime", "gates_from", "seed"):
        if name in changes:
            raise ValueError(
                f"`changes` must leave {name} to the experiment. "
                f"Received: {name}={changes[name]!r}."
            )
    return [
        dataclasses.replace(
            cell,
            recipe=cell.recipe.replace(**changes),
            gates_of=cell.gates_of and cell.gates_of.replace(**changes),
        )
        for cell in cells
    ]


def measure(
    runs: Runs,
    cells: Sequence[Cell],
    seeds: int,
    after_each: Callable[[list[Measured]], Any],
) -> list[Measured]:
    """Train every cell with every seed, seed by seed, so that early tables are whole.

    Args:
        runs: the runs, kept and shared.
        cells: what to train.
        seeds: number of seeds, 0, 1, ...
        after_each: called after every run with the cells measured so far.
    """
    measured = [Measured(cell) for cell in cells]
    for seed in range(seeds):
        for one in measured:
            recipe = one.cell.recipe.replace(seed=seed)
            if one.cell.gates_of is not None:
                source = one.cell.gates_of.replace(seed=seed)
                keep = _epochs_to_keep(cells, one.cell.gates_of)
                made = runs.fit(source, keep)
                one.sources.append(made)
                path, epoch = runs.folder(source, keep), one.cell.gates_epoch
                if epoch is not None:
                    epoch = made.best_epoch if epoch == BEST else int(epoch)
                    path = kept_model(path, epoch)
                recipe = recipe.replace(
                    regime="flnpf", gate="hard", gates_from=str(path.resolve())
                )
            keep = _epochs_to_keep(cells, one.cell.recipe)
            one.results.append(runs.fit(recipe, keep))
            after_each(measured)
    return measured


def _epochs_to_keep(cells: Sequence[Cell], source: Recipe) -> Keep:
    """Return the epochs of a run whose gates some cell wants, the same for all."""
    wanted = {cell.gates_epoch for cell in cells if cell.gates_of == source}
    epochs = sorted(epoch for epoch in wanted if isinstance(epoch, int))
    return [*epochs, BEST] if BEST in wanted else epochs


@dataclass(frozen=True)
class Experiment:
    """A published table or figure that can be made again.

    Args:
        name: its name on the command line.
        title: one line.
        source: the publication.
        needs: {scale: data and packages beyond the basic ones}.
        time: {scale: rough duration}.
        cells: scale -> the cells of its table.
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
    figure: Callable[[Table, Path], Any] = dots
    run: Callable[["Call"], Table] | None = None


@dataclass(frozen=True)
class Call:
    """A call of an experiment: folder, scale, seeds, rows and changed fields."""

    experiment: Experiment
    runs: Runs
    scale: str
    seeds: int
    rows: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of table and figure."""
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
        return self.chosen(self.experiment.cells(self.scale))

    def chosen(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells of the rows asked for, with the changed fields."""
        return change(select(cells, self.rows), self.changes)

    def measure(self, cells: Sequence[Cell]) -> list[Measured]:
        """Train cells; the table on disk is up to date after every run."""
        return measure(
            self.runs, cells, self.seeds, lambda m: self.table(m).write(self.folder)
        )

    def table(self, measured: Sequence[Measured]) -> Table:
        """Return the table of the measured cells, all seeds so far."""
        lines = [one.line() for one in measured]
        if self.experiment.columns is not None:
            columns = self.experiment.columns(measured)
            for line, more in zip(lines, columns, strict=True):
                line.update(more)
        notes = [ACCURACIES]
        if any(one.cell.published is not None for one in measured):
            notes.append(PUBLISHED)
        return self.make_table(lines, notes)

    def make_table(self, lines: list[dict[str, Any]], notes: Sequence[str]) -> Table:
        """Return a table of this experiment, with the facts to make it again."""
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
    "<name>-<scale>" of `out`, and every training run into a folder of its own in "runs"
    beside it. A finished run is not trained again, neither for another experiment nor
    with more seeds; an interrupted one resumes.

    Args:
        name: one of `EXPERIMENTS`.
        out: folder for this and other experiments.
        scale: "small", minutes on two CPU cores with narrower nets on smaller
            data, or "paper", the published set-up.
        seeds: number of seeds, 0, 1, ...
        rows: names of the table's rows to make, or "row/label" for the lines of a
            row with that label ("gconv-adam/DNN"); none means all.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        progress: whether to show progress on standard error.
        changes: fields of `Recipe` set in every run, such as `{"epochs": 2}`.

    Returns:
        The table.

    Raises:
        ValueError: unknown name, scale, row or recipe field, with the closest
            match; a run folder made by another recipe.

    Example:
        >>> import tempfile
        >>> from dlgn_keras.experiments import reproduce
        >>> few, rows = {"epochs": 1, "num_train": 64}, ["fc-sgd/DNN", "fc-sgd/DLNPF"]
        >>> with tempfile.TemporaryDirectory() as out:
        ...     table = reproduce("regimes", out, seeds=1, rows=rows,
        ...                       progress=False, changes=few)
        >>> [line["regime"] for line in table.lines]
        ['DNN', 'DLNPF']
    """
    check_choice("name", name, EXPERIMENTS)
    check_choice("scale", scale, SCALES)
    check_count("seeds", seeds)
    if isinstance(rows, str):
        raise ValueError(f"`rows` must be a list of names. Received: rows={rows!r}.")
    runs = Runs(out, data_dir, progress)
    call = Call(EXPERIMENTS[name], runs, scale, seeds, tuple(rows), changes or {})
    return call.run()
