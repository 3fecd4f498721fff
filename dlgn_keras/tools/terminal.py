"""What the program prints: tables on standard output, progress on standard error."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    footer: str = "",
    left: Sequence[int] = (0,),
) -> None:
    """Print a table; columns in `left` are left-aligned, the others right-aligned."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=any(header))
    for k, name in enumerate(header):
        table.add_column(name, justify="left" if k in left else "right", no_wrap=k == 0)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False, emoji=False)  # text is text
    console.print(table)
    if footer:
        console.print(footer, soft_wrap=True)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table without a trailing newline.

    Example:
        >>> print(markdown_table(["net", "%"], [["DNN", "98.3"]]))
        | net | % |
        | --- | --- |
        | DNN | 98.3 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@contextmanager
def progress_bar(
    text: str, total: int, show: bool | None = None
) -> Iterator[Callable[[int], None]]:
    """Yield `advance(steps)`, and draw a bar on standard error while inside.

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
