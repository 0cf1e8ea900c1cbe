"""The figures that a page links to, of what was measured: a scenario's cells may be of several runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from lorafa_prof.figures.save import SavedFigure, save_all
from lorafa_prof.report.published.folder import KeptRow, PublishedFolder, key_of
from lorafa_prof.report.published.marks import figures_named
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.table import TABLE_NAME, read_table, write_table


def draw_figures(folder: PublishedFolder) -> Iterator[str]:
    """Draw each figure that the page has a mark for and of whose scenario every cell was measured.

    It is written to ``PLACE/SCENARIO/figures``, where PLACE is that of the first cell. Where a cell was not
    measured, the page keeps the figure of the predictions, which `lorafa-prof run` drew.
    """
    for name, figure in figures_named(folder.page_text()):
        rows, missing = measured_rows(name, folder)
        if missing:
            yield f"{name}, {figure}: not drawn, {missing} of its cells were not measured"
            continue
        with tempfile.TemporaryDirectory() as scratch:
            write_table([kept.row for kept in rows], Path(scratch) / TABLE_NAME)
            table = read_table(Path(scratch))
        for outcome in save_all(table, folder.path / rows[0].place / name / "figures", [figure]):
            if isinstance(outcome, SavedFigure):
                yield from map(str, outcome.paths)
            else:
                yield f"{name}, {figure}: not drawn, {outcome.reason}"


def measured_rows(name: str, folder: PublishedFolder) -> tuple[list[KeptRow], int]:
    """The measured rows of a scenario's cells, in its order, and how many of its cells have none."""
    measured = folder.by_settings("measured", name)
    cells = [plan.cell for plan in folder.gate(name).planned]
    rows = [measured.get(key_of(setting_columns(cell))) for cell in cells]
    there = [row for row in rows if row is not None]
    return there, len(cells) - len(there)
