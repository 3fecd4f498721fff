"""A progress bar for long work, on the terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    text: str, total: int, show: bool | None = None
) -> Iterator[Callable[[int], None]]:
    """Yield `advance(steps)`, drawing a bar on standard error while inside.

    Args:
        text: what is being done.
        total: number of steps.
        show: whether to draw; None draws if standard error is a terminal.
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text, total=max(total, 1))
        yield lambda steps: bar.advance(task, steps)
