"""What a report says, as data: every form of a report is made from this."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from lorafa_prof.cell import Cell
from lorafa_prof.claims.finding import Judgement
from lorafa_prof.errors import LorafaProfError, NothingToJudgeError, UsageError
from lorafa_prof.figures.kit.points import Point, distinct_names, fixed, points_of
from lorafa_prof.report.cell_cards import CellCards, cell_cards
from lorafa_prof.report.cells_table import OTHER_SETTINGS, Row, telling_columns
from lorafa_prof.report.learned_table import LearnedTable, learned_table
from lorafa_prof.report.reading import Source
from lorafa_prof.report.reproduce import one_cell_scenario, reproducing_command
from lorafa_prof.report.summary import Summary, summary_of
from lorafa_prof.results.columns import COLUMNS, Column
from lorafa_prof.results.marks import legend, read
from lorafa_prof.results.peak_parts import peak_parts, saved_by_kind
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.table import pandas_dtype
from lorafa_prof.words.phrases import count

#: So many cells whose record cannot be read are named.
_MOST_NAMED = 5
_NO_RECORD = "there is no record of it (OUT/cells)"


@dataclass(frozen=True)
class CellContent:
    """A row and everything behind it.

    Attributes:
        label: tells the cell from all others of the report.
        row: what is known of it, by column.
        cell: with all its settings; None where there is no record.
        parts: of `peak_parts`, by the row alone where there is no record; none where the cell did not finish.
        beyond_peak: bytes that the parts are more together than the peak: they are not all there at once.
        cards: None where there is no record; then `unexplained` says why.
        scenario: of this one cell, as data of YAML; None where there is no record.
        command: that gives the row again; None where it is not known.
        environment: the machine and versions that gave it, by index in the report's environments.
    """

    label: str
    row: Row
    cell: Cell | None
    parts: Mapping[str, int]
    beyond_peak: int
    cards: CellCards | None
    unexplained: str
    scenario: Mapping[str, Any] | None
    command: str | None
    environment: int | None

    @property
    def cell_id(self) -> str:
        """Id of the cell."""
        return str(self.row["cell_id"])


@dataclass(frozen=True)
class Content:
    """A whole report.

    Attributes:
        title: the scenario's name, or the folder's.
        notes: what the reader must know before all else: what is missing, damaged, of another version.
        points: the cells as figures see them.
        shared: the settings that all cells share, in words.
        varying: names of the settings that do not, as columns.
        columns: those in which some cell has a value; one more where these do not tell all cells apart.
        judgement: of claims; None where there are none or they cannot be judged.
        environments: every machine that gave a row.
        learned: what learning runs come to; None where there are none or they cannot be read.
    """

    title: str
    notes: tuple[str, ...]
    summary: Summary
    points: tuple[Point, ...]
    shared: str
    varying: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: tuple[CellContent, ...]
    judgement: Judgement | None
    provenance: Mapping[str, Any]
    environments: tuple[Mapping[str, Any], ...]
    learned: LearnedTable | None = None

    @property
    def command(self) -> str:
        """The command that gave the results; empty where it is not known."""
        command = self.provenance.get("command")
        return shlex.join(map(str, command)) if isinstance(command, list) else ""


def content_of(source: Source) -> Content:
    """Everything that a report of `source` says.

    Raises:
        NothingToJudgeError: its table has no rows, and there are no learning runs.
    """
    table = source.results.table
    learned, learned_notes = _learned(source)
    if table.empty and learned is None:
        raise NothingToJudgeError(f"{source.out}: its results have no rows to report")
    points = points_of(table)
    labels = distinct_names(points)
    environments = _environments(source.provenance)
    found = [_cell(row, labels, source, environments) for row in _rows(table)]
    varying, rows = telling_columns(
        {each.cell_id: each.row for each in found},
        points,
        [each.cell for each in found if each.cell is not None],
    )
    cells = [replace(each, row=rows[each.cell_id]) for each in found]
    known = {name for cell in cells for name in cell.row}
    scenario = source.provenance.get("scenario")
    name = scenario.get("name") if isinstance(scenario, dict) else None
    return Content(
        title=str(name or source.out.resolve().name),
        notes=(*source.notes, *learned_notes, *_record_notes(cells), *_marks_note(cells)),
        summary=summary_of(points),
        points=tuple(points),
        shared=fixed(points),
        varying=tuple(varying),
        columns=tuple(column for column in (*COLUMNS, OTHER_SETTINGS) if column.name in known),
        cells=tuple(cells),
        judgement=source.judgement,
        provenance=source.provenance,
        environments=environments,
        learned=learned,
    )


def _learned(source: Source) -> tuple[LearnedTable | None, list[str]]:
    try:
        return learned_table(source.results), []
    except LorafaProfError as error:
        return None, [f"its learning runs are not shown: {error}"]


def _rows(table: pd.DataFrame) -> list[Row]:
    """Known values only: text, integers, and other numbers with seven digits."""
    kinds: dict[str, Any] = {"Int64": int, "Float64": lambda value: float(f"{value:.7g}"), "string": str}
    read = {column.name: kinds[pandas_dtype(column)] for column in COLUMNS}
    return [
        {str(name): read[str(name)](value) for name, value in record.items() if not pd.isna(value)}
        for record in table.to_dict(orient="records")
    ]


def _environments(provenance: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    found = provenance.get("environments")
    return tuple(each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()


def _cell(
    row: Row, labels: Mapping[str, str], source: Source, environments: Sequence[Mapping[str, Any]]
) -> CellContent:
    cell_id = str(row["cell_id"])
    record, why = _record(cell_id, source)
    cards, by_kind = None, None
    if record is not None:
        try:
            cards, by_kind = cell_cards(record.details), saved_by_kind(record.details)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"{cell_id}: its record does not say what it should ({type(error).__name__}: {error})"
    parts = peak_parts(row, by_kind) if row.get("status") == "ok" else {}
    peak = row.get("peak_allocated_bytes")
    device = row.get("device")
    return CellContent(
        label=labels[cell_id],
        row=row,
        cell=None if record is None else record.cell,
        parts=parts,
        beyond_peak=max(0, sum(parts.values()) - int(peak)) if parts and peak is not None else 0,
        cards=cards,
        unexplained=why,
        scenario=one_cell_scenario(record.cell) if record is not None else None,
        command=reproducing_command(source.provenance, cell_id, None if device is None else str(device)),
        environment=environments.index(record.environment)
        if record is not None and record.environment in environments
        else None,
    )


def _record(cell_id: str, source: Source) -> tuple[CellResult | None, str]:
    """A cell's record, or why there is none."""
    try:
        record = source.results.load(cell_id)
    except UsageError as error:
        return None, str(error)
    return record, "" if record is not None else _NO_RECORD


def _marks_note(cells: Sequence[CellContent]) -> list[str]:
    """What the marks in the table of cells say."""
    found = legend({name for cell in cells for name in read(str(cell.row.get("marks", "")))})
    return [found] if found else []


def _record_notes(cells: Sequence[CellContent]) -> list[str]:
    unexplained = [cell.unexplained for cell in cells if cell.cards is None]
    unreadable = [why for why in unexplained if why != _NO_RECORD]
    missing = len(unexplained) - len(unreadable)
    notes = unreadable[:_MOST_NAMED]
    if len(unreadable) > _MOST_NAMED:
        notes.append(f"{count(len(unreadable) - _MOST_NAMED, 'more record')} cannot be read")
    if cells and missing == len(cells):
        notes.append("there are no records (OUT/cells): rows are all there is, nothing explains them")
    elif missing:
        notes.append(f"{missing:,} of {count(len(cells), 'cell')} have no record, so nothing explains them")
    return notes
