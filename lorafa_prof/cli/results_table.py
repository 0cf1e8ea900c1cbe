"""What `lorafa-prof run` prints at its end: what it found, and the table of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lorafa_prof.cli.conclusions import tell_conclusions
from lorafa_prof.cli.say import say
from lorafa_prof.cli.tables import print_table

if TYPE_CHECKING:
    from lorafa_prof.cli.json_output import JsonOutput
    from lorafa_prof.results.record import CellResult


def print_results(results: Sequence[CellResult], out: Path, as_json: JsonOutput) -> None:
    """Tell what the results come to; then print a row for each: in what it differs, and its numbers.

    What all have in common is a line before the table. All but the table goes to stderr.

    Args:
        results: at least one.
        out: the folder of the results, for commands that look further.
        as_json: takes the same.
    """
    from lorafa_prof.concluding.conclusions import conclusions_of
    from lorafa_prof.concluding.next_looks import next_looks
    from lorafa_prof.figures.kit.points import fixed, point_of
    from lorafa_prof.report.cells_table import cells_table, telling_columns
    from lorafa_prof.results.columns import COLUMN_NAMES

    known = {
        result.cell.cell_id: {name: value for name, value in result.table_row().items() if value is not None}
        for result in results
    }
    points = [point_of(row) for row in known.values()]
    found = conclusions_of(points)
    looks = next_looks(found, points, out)
    tell_conclusions([each.text for each in found], looks)
    settings, rows = telling_columns(known, points, [result.cell for result in results])
    header, *lines = cells_table(list(rows.values()), settings)
    shared = [*({point.model for point in points} if "model" not in settings else ()), fixed(points)]
    say(f"all cells: {', '.join(filter(None, shared))}")
    texts = [[text or "-" for text in line] for line in lines]
    print_table("results", header, texts, names=len(settings))
    as_json.give(
        {
            "out": str(out),
            "conclusions": [asdict(each) for each in found],
            "next": [look._asdict() for look in looks],
            "rows": [{name: row.get(name) for name in COLUMN_NAMES} for row in known.values()],
        }
    )
