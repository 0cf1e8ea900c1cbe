"""The table of results that `lorafa-prof run` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lorafa_prof.cli.say import say
from lorafa_prof.cli.tables import print_table

if TYPE_CHECKING:
    from lorafa_prof.results.record import CellResult


def print_results(results: Sequence[CellResult]) -> None:
    """Print a row for each result: in what it differs from the others, and its numbers.

    What all have in common is a line before it, on stderr.
    """
    from lorafa_prof.figures.kit.points import fixed, point_of
    from lorafa_prof.report.cells_table import cells_table, telling_columns

    known = {
        result.cell.cell_id: {name: value for name, value in result.table_row().items() if value is not None}
        for result in results
    }
    points = [point_of(row) for row in known.values()]
    settings, rows = telling_columns(known, points, [result.cell for result in results])
    header, *lines = cells_table(list(rows.values()), settings)
    shared = [*({point.model for point in points} if "model" not in settings else ()), fixed(points)]
    say(f"all cells: {', '.join(filter(None, shared))}")
    texts = [[text or "-" for text in line] for line in lines]
    print_table("results", header, texts, names=len(settings))
