"""Printing a table on stdout: with rich on a terminal, plain aligned columns everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lorafa_prof.cli.say import put
from lorafa_prof.one_line import harmless
from lorafa_prof.words.tables import aligned

Row = Sequence[str]


def print_table(title: str, header: Row, rows: Sequence[Row]) -> None:
    """Print a table on stdout.

    Off a terminal each row is one line, never wrapped or cut, so that `grep` and `awk` can read it.
    """
    if sys.stdout.isatty():
        _print_rich(title, header, rows)
    else:
        put("\n".join([f"# {title}", *aligned([header, *rows])]))


def _print_rich(title: str, header: Row, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in header:
        # "fold" breaks a long cell over lines; rich's default would cut it off.
        table.add_column(Text(name), overflow="fold")
    for cells in rows:
        # Text, since rich reads "[gpu]" in a plain string as markup and drops it.
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    Console().print(table)
