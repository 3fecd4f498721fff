"""The board: the best trials so far, live on a terminal, one line a trial elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from dlgn_keras.tuning.trials import Row, hyperparameters_of, ranked

SHOWN = 8


class Board:
    """Show the progress of a search on standard error.

    Args:
        title: name of the search.
        objective: the score that is compared.
        trials: most trials, if there is a limit.
        hours: most hours, if there is a limit.
        shown: whether to show anything.
    """

    def __init__(
        self,
        title: str,
        objective: str,
        trials: int | None,
        hours: float | None,
        shown: bool,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self.title, self.objective = title, objective
        self.trials, self.hours = trials, hours
        self.console = Console(stderr=True, highlight=False)
        self.shown = shown
        self._rows: Sequence[Row] = ()
        self._seconds, self._at = 0.0, time.monotonic()
        self._told: set[str] = set()
        self._live: Any = None
        if shown and self.console.is_terminal:
            self._live = Live(
                get_renderable=self._table,
                console=self.console,
                refresh_per_second=1,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __enter__(self) -> "Board":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, rows: Sequence[Row], seconds: float) -> None:
        """Update the rows of all trials and the search's running time."""
        first = not self._rows and not self._told
        self._rows, self._seconds, self._at = rows, seconds, time.monotonic()
        for row in rows:
            ended = row["status"] in ("finished", "failed")
            if ended and row["trial"] not in self._told:
                self._told.add(row["trial"])
                if not first:
                    self._tell(row)
        if first and self._told:
            self.say(f"{self.title}: {len(self._told)} trials are there already")

    def say(self, line: str) -> None:
        """Print one line."""
        if self.shown:
            self.console.print(line, markup=False)

    def _tell(self, row: Row) -> None:
        if row["status"] == "failed":
            self.say(f"trial {row['trial']} failed: {row['message']}")
        elif not self._live:  # the live table shows it
            best = ranked(self._rows, self.objective)[0]
            self.say(
                f"trial {row['trial']}: {self.objective} {row['score']:.4f}  "
                f"(best {best['score']:.4f}, trial {best['trial']})"
            )

    def _table(self) -> Any:
        from rich.table import Table

        counts = Counter(row["status"] for row in self._rows)
        names = ("finished", "failed", "running")
        told = [f"{counts[name]} {name}" for name in names if counts[name]]
        told = told or ["starting"]
        told += [f"at most {self.trials}"] if self.trials else []
        seconds = round(self._seconds + time.monotonic() - self._at)
        clock = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        told += [clock + (f" of {self.hours:g} h" if self.hours else "")]
        table = Table(title=self.title, caption=", ".join(told))
        table.add_column("trial")
        table.add_column(self.objective.replace("_", " "), justify="right")
        table.add_column("hyperparameters")
        searched = hyperparameters_of(self._rows)
        for row in ranked(self._rows, self.objective)[:SHOWN]:
            values = show_values(row, searched)
            table.add_row(row["trial"], f"{row['score']:.4f}", values)
        return table


def show_values(row: Row, names: Sequence[str]) -> str:
    """Return a trial's hyperparameters as words, which wrap where columns do not.

    Example:
        >>> from dlgn_keras.tuning.board import show_values
        >>> show_values({"hp:beta": 2.3456, "hp:depth": None}, ["beta", "depth"])
        'beta=2.35'
    """
    values = {name: row.get(f"hp:{name}") for name in names}
    if "hp:tuner/epochs" in row:  # how long Hyperband trained it
        values["epochs"] = row["hp:tuner/epochs"]
    return "  ".join(f"{k}={show_value(v)}" for k, v in values.items() if v is not None)


def show_value(value: Any) -> str:
    """Return a hyperparameter's value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
