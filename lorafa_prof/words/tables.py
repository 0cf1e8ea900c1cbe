"""Tables of text whose columns line up, in any terminal and file."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lorafa_prof.one_line import harmless

GAP = "  "
"""What stands between two columns."""


def padded(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[list[str]]:
    """The cells, harmless, each as wide as the widest of its column.

    Args:
        rows: of equal length, the header among them.
        right: numbers of the columns that are aligned to the right, as numbers are.
    """
    from rich.cells import cell_len

    rows = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            _padded(cell, width, index in right)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """A line for each row, never wrapped or cut; arguments as of `padded`."""
    return [GAP.join(cells).rstrip() for cells in padded(rows, right)]


def _padded(cell: str, width: int, right: bool) -> str:
    from rich.cells import cell_len

    blanks = " " * (width - cell_len(cell))
    return blanks + cell if right else cell + blanks
