"""Tables on the terminal, plain where nobody looks."""

from collections.abc import Sequence


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    footer: str = "",
    left: Sequence[int] = (0,),
) -> None:
    """Print a table with rich; numbers right, the columns `left` (of words) left."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=any(header))
    for k, name in enumerate(header):
        table.add_column(name, justify="left" if k in left else "right", no_wrap=k == 0)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    if footer:
        console.print(footer, soft_wrap=True)
