"""Printing a table on stdout: with rich on a terminal, plain aligned columns everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lorafa_prof.cli.say import put
from lorafa_prof.one_line import harmless
from lorafa_prof.words.tables import aligned

if TYPE_CHECKING:
    from rich.console import Console

Row = Sequence[str]


def print_table(title: str, header: Row, rows: Sequence[Row], names: int = 0) -> None:
    """Print a table on stdout.

    Off a terminal each row is one line, never wrapped or cut, so that `grep` and `awk` can read it.

    Args:
        names: so many of the first columns say what a row is of. Where a terminal is too narrow for a table,
            they stand in a line of their own above the row's other values.
    """
    if not sys.stdout.isatty():
        put("\n".join([f"# {title}", *aligned([header, *rows])]))
        return
    from rich.console import Console

    console = Console()
    if names and max(map(len, aligned([header, *rows]))) > console.width:
        _print_named(console, title, [header, *rows], names)
    else:
        _print_rich(console, title, header, rows)


def _print_named(console: Console, title: str, rows: Sequence[Row], names: int) -> None:
    from rich.text import Text

    header, *values = aligned([row[names:] for row in rows])
    console.print(Text(f"{title}\n  {header}", style="bold"))
    for row, line in zip(rows[1:], values, strict=True):
        named = ", ".join(
            f"{name} {cell}" for name, cell in zip(rows[0][:names], row, strict=False) if cell != "-"
        )
        console.print(Text(f"{harmless(named)}\n  {line}"))


def _print_rich(console: Console, title: str, header: Row, rows: Sequence[Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in header:
        # "fold" breaks a long cell over lines; rich's default would cut it off.
        table.add_column(Text(name), overflow="fold")
    for cells in rows:
        # Text, since rich reads "[gpu]" in a plain string as markup and drops it.
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    console.print(table)
