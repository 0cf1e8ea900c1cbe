"""Printing a table on stdout: with rich on a terminal, plain aligned columns everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
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
    table = _Table([*map(harmless, header)], [[*map(harmless, row)] for row in rows], names)
    below = [f"{row[0]}: {row[-1]}" for row in table.rows] if last_below else []
    if last_below:
        table = table.without({len(header) - 1})
    table = table.without({i for i in table.columns if rows and not table.values(i) - _NOTHING})
    if table.width > console.width and len(rows) > 1:
        constant = {i for i in table.columns if len(table.values(i)) == 1}
        shared = ", ".join(f"{table.header[i]} {table.rows[0][i]}" for i in sorted(constant))
        title = f"{title}, all with {shared}" if shared else title
        table = table.without(constant)
    console.print(_bold(title))
    if table.names and table.least_width > console.width:
        _print_named(console, table)
    else:
        _print_rich(console, table)
    for line in below:
        console.print(_plain(line), soft_wrap=True)


@dataclass(frozen=True)
class _Table:
    """Texts of cells, harmless; the first `names` columns say what a row is of."""

    header: Row
    rows: Sequence[Row]
    names: int

    @property
    def columns(self) -> range:
        return range(len(self.header))

    @property
    def widths(self) -> list[int]:
        """Of its columns, with nothing broken over lines."""
        return [max(_width(cell) for cell in column) for column in self._cells()]

    @property
    def least_widths(self) -> list[int]:
        """The same where headers are broken between words, and, in a table without names, cells too."""
        least = []
        for name, *cells in self._cells():
            whole = cells if self.names else " ".join(cells).split()
            least.append(max(map(_width, [*name.split(), *whole]), default=0))
        return least

    @property
    def width(self) -> int:
        return _with_gaps(self.widths)

    @property
    def least_width(self) -> int:
        return _with_gaps(self.least_widths)

    def values(self, column: int) -> set[str]:
        return {row[column] for row in self.rows}

    def without(self, columns: Collection[int]) -> _Table:
        """The table without these columns."""
        kept = [i for i in self.columns if i not in columns]
        header, *rows = ([row[i] for i in kept] for row in (self.header, *self.rows))
        return _Table(header, rows, sum(column < self.names for column in kept))

    def _cells(self) -> list[tuple[str, ...]]:
        return list(zip(self.header, *self.rows, strict=True))


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
        console.print(_plain(f"{named}\n  {line}"))


def _print_rich(console: Console, table: _Table) -> None:
    from rich import table as rich

    grid = rich.Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0))
    for name, width in zip(table.header, _fitted(table, console.width), strict=True):
        # "fold" breaks a word that is too long over lines; rich's default would cut it off.
        grid.add_column(_plain(name), overflow="fold", width=width)
    for cells in table.rows:
        grid.add_row(*map(_plain, cells))
    console.print(grid)


def _fitted(table: _Table, room: int) -> list[int]:
    """Widths of columns for `room`: the widest is narrowed first, and words are broken only if need be."""
    widths = table.widths
    for least in (table.least_widths, [1] * len(widths)):
        while _with_gaps(widths) > room:
            widest = max(table.columns, key=lambda i: (widths[i] > least[i], widths[i]))
            if widths[widest] <= least[widest]:
                break
            widths[widest] -= 1
    return widths


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _with_gaps(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _bold(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="bold")


def _plain(text: str) -> Text:
    """As a plain string rich would read "[gpu]" as markup and drop it."""
    from rich.text import Text

    return Text(text)
