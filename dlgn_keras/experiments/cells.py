"""Cells: an experiment as a list of recipes, each with its place in the table."""

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlgn_keras.experiments.keep import BEST, kept_model
from dlgn_keras.experiments.runs import Keep, Runs
from dlgn_keras.skeletons import Conv, Dense, Skeleton, walk
from dlgn_keras.tools.messages import check_choice
from dlgn_keras.training import Recipe, Result


@dataclass(frozen=True)
class Cell:
    """One line of a table: what is trained, and what was published for it.

    Args:
        labels: what tells this line from the others, first of all "row".
        recipe: what is trained, whatever its seed.
        gates_of: recipe of the run whose gates are copied and frozen (FLNPF);
            None: the recipe says itself how gates are made.
        gates_epoch: after how many epochs of that run; `BEST`: after the best of
            them by test accuracy; None: after the last.
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


def mean(values: Iterable[float]) -> float | None:
    """Return the mean, rounded for a table; None where there is nothing."""
    values = list(values)
    return round(statistics.fmean(values), 4) if values else None


def mean_std(name: str, values: Sequence[float]) -> dict[str, float | None]:
    std = round(statistics.stdev(values), 4) if len(values) > 1 else None
    return {f"{name} mean": mean(values), f"{name} std": std}


def describe(skeleton: Any) -> str:
    """Return a skeleton's name and widths, as for a table.

    Example:
        >>> from dlgn_keras import skeletons
        >>> from dlgn_keras.experiments.cells import describe
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
        ValueError: a row or label there is none of, with the closest match.

    Example:
        >>> from dlgn_keras.experiments import EXPERIMENTS
        >>> from dlgn_keras.experiments.cells import select
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
    """Return what tells the cells of a row from each other."""
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
        runs: where runs are kept and shared.
        cells: what to train.
        seeds: how many seeds, 0, 1, ...
        after_each: called after every run with what is measured so far.
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
