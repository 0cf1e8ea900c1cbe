"""Printing a table on stdout: with rich on a terminal, plain aligned columns everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorafa_prof.cli.say import put
from lorafa_prof.one_line import harmless
from lorafa_prof.words.tables import GAP, aligned

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Row = Sequence[str]

#: Cells with these have nothing in them.
_NOTHING = {"", "-"}


def print_table(
    title: str, header: Row, rows: Sequence[Row], names: int = 0, *, last_below: bool = False
) -> None:
    """Print a table on stdout.

    Off a terminal each row is one line, never wrapped or cut, so that `grep` and `awk` can read it. On one,
    columns with nothing in them are left out; where the rest is too wide, what all rows share is said once,
    above.

    Args:
        names: so many of the first columns say what a row is of. Where a terminal is too narrow for a table,
            they stand in a line of their own above the row's other values.
        last_below: whether on a terminal the last column, of long texts, stands below the table, by the first
            cell of its row.
    """
    if not sys.stdout.isatty():
        put("\n".join([f"# {title}", *aligned([header, *rows])]))
        return
    from rich.console import Console

    console = Console()
    table = _Table(header, rows, names)
    below = [row[-1] for row in rows] if last_below else []
    table = table.keeping(i for i in table.columns if not (last_below and i == len(header) - 1))
    table = table.keeping(i for i in table.columns if table.values(i) - _NOTHING)
    if table.width > console.width and len(rows) > 1:
        constant = [i for i in table.columns if len(table.values(i)) == 1]
        shared = ", ".join(f"{table.header[i]} {rows[0][i]}" for i in constant)
        title = f"{title}, all with {shared}" if shared else title
        table = table.keeping(i for i in table.columns if i not in constant)
    console.print(_bold(title))
    if table.names and table.width > console.width:
        _print_named(console, table)
    else:
        _print_rich(console, table)
    for row, text in zip(rows, below, strict=False):
        console.print(_plain(harmless(f"{row[0]}: {text}")), soft_wrap=True)


@dataclass(frozen=True)
class _Table:
    """Texts of cells; the first `names` columns say what a row is of."""

    header: Row
    rows: Sequence[Row]
    names: int

    @property
    def columns(self) -> range:
        return range(len(self.header))

    @property
    def width(self) -> int:
        return max(map(len, aligned([self.header, *self.rows])))

    def values(self, column: int) -> set[str]:
        return {row[column] for row in self.rows}

    def keeping(self, columns: Iterable[int]) -> _Table:
        """Only these columns."""
        kept = list(columns)
        header, *rows = ([row[i] for i in kept] for row in (self.header, *self.rows))
        return _Table(header, rows, sum(column < self.names for column in kept))


def _print_named(console: Console, table: _Table) -> None:
    names = table.names
    header, *values = aligned([row[names:] for row in (table.header, *table.rows)])
    console.print(_bold(f"  {header}"))
    for row, line in zip(table.rows, values, strict=True):
        named = ", ".join(
            f"{name} {cell}"
            for name, cell in zip(table.header[:names], row, strict=False)
            if cell not in _NOTHING
        )
        console.print(_plain(f"{harmless(named)}\n  {line}"))


def _print_rich(console: Console, table: _Table) -> None:
    from rich import table as rich

    grid = rich.Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0))
    for name, width in zip(table.header, _widths(table, console.width), strict=True):
        # "fold" breaks a word that is too long over lines; rich's default would cut it off.
        grid.add_column(_plain(name), overflow="fold", width=width)
    for cells in table.rows:
        grid.add_row(*(_plain(harmless(cell)) for cell in cells))
    console.print(grid)


def _widths(table: _Table, room: int) -> list[int]:
    """Columns narrow enough for `room`: the widest is narrowed first, and words broken only if need be."""
    from rich.cells import cell_len

    columns = list(zip(table.header, *table.rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    words = [max(cell_len(word) for word in " ".join(column).split()) for column in columns]
    for least in (words, [1] * len(columns)):
        while sum(widths) + len(GAP) * (len(widths) - 1) > room:
            widest = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
            if widths[widest] <= least[widest]:
                break
            widths[widest] -= 1
    return widths


def _bold(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="bold")


def _plain(text: str) -> Text:
    """As a plain string rich would read "[gpu]" as markup and drop it."""
    from rich.text import Text

    return Text(text)
