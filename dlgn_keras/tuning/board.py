"""The board: the best trials so far, live on a terminal, a line a trial elsewhere."""

import time
from collections.abc import Sequence
from typing import Any

from dlgn_keras.tuning.results import Row, hyperparameters_of, ranked

SHOWN = 8


class Board:
    """Show how a search goes, on standard error.

    Args:
        title: what is searched.
        objective: what is compared.
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
        """Take the rows of all trials, and how long the search has run."""
        first = not self._rows and not self._told
        self._rows, self._seconds, self._at = rows, seconds, time.monotonic()
        for row in rows:
            if (
                row["status"] in ("finished", "failed")
                and row["trial"] not in self._told
            ):
                self._told.add(row["trial"])
                if not first:
                    self._tell(row)
        if first and self._told:
            self.say(f"{self.title}: {len(self._told)} trials are there already")

    def say(self, line: str) -> None:
        """Print a line of its own."""
        if self.shown:
            self.console.print(line, markup=False)

    def _tell(self, row: Row) -> None:
        if self._live and row["status"] == "finished":
            return  # the table shows it
        if row["status"] == "failed":
            self.say(f"trial {row['trial']} failed: {row['message']}")
            return
        best = ranked(self._rows, self.objective)[0]
        self.say(
            f"trial {row['trial']}: {self.objective} {row['score']:.4f}  "
            f"(best {best['score']:.4f}, trial {best['trial']})"
        )

    def _table(self) -> Any:
        from rich.table import Table

        rows = self._rows
        seconds = self._seconds + time.monotonic() - self._at
        counts = {
            status: sum(row["status"] == status for row in rows)
            for status in ("finished", "failed", "running")
        }
        told = [f"{n} {status}" for status, n in counts.items() if n] or ["starting"]
        told += [f"at most {self.trials}"] if self.trials else []
        told += [_clock(seconds) + (f" of {self.hours:g} h" if self.hours else "")]
        table = Table(title=self.title, caption=", ".join(told))
        names = hyperparameters_of(rows)
        table.add_column("trial")
        table.add_column(self.objective.replace("_", " "), justify="right")
        table.add_column("hyperparameters")
        for row in ranked(rows, self.objective)[:SHOWN]:
            table.add_row(row["trial"], f"{row['score']:.4f}", show_values(row, names))
        return table


def show_values(row: Row, names: Sequence[str]) -> str:
    """Return a trial's hyperparameters as words, which wrap where columns would not.

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


def _clock(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}"
