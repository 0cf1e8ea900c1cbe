"""The cells of a folder of results, as far as it can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.errors import LorafaProfError, NothingToJudgeError, UsageError
from lorafa_prof.explaining.subject import Subject
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.soundness import check_environment, read_json
from lorafa_prof.results.store import Store, without_details
from lorafa_prof.results.table import read_table
from lorafa_prof.scenario.expand import ResolveDevice, expand
from lorafa_prof.scenario.labels import distinct_labels
from lorafa_prof.scenario.load import validated_scenario
from lorafa_prof.scenario.yaml_lines import Document

Row = Mapping[str, Any]


def subjects_in(out: Path) -> list[Subject]:
    """The cells of a folder that `lorafa-prof run` wrote, in the order of its table, without details.

    Where a cell has no record that can be read, its settings are taken from the scenario in provenance.json.

    Raises:
        UsageError: no such folder, or neither its table nor a record in it can be read.
        NothingToJudgeError: it holds no results.
    """
    store = Store(out)
    rows, remarks = _rows(store)
    records, troubles = _records(store, list(rows) or store.others(()))
    if not rows and not records:
        raise UsageError("; ".join((*remarks, *troubles.values())))
    remarks += [trouble for cell_id, trouble in troubles.items() if cell_id not in rows]
    unread = {cell_id: row for cell_id, row in rows.items() if cell_id not in records}
    planned, environment = _provenance(out, unread) if unread else ({}, {})
    cells = {**planned, **{cell_id: record.cell for cell_id, record in records.items()}}
    labels = distinct_labels(list(cells.values()))
    subjects = []
    for cell_id in rows or records:
        record = records.get(cell_id)
        trouble = [troubles[cell_id]] if cell_id in troubles else []  # of a cell that has a row
        subjects.append(
            Subject(
                cell_id=cell_id,
                label=labels.get(cell_id) or _label(rows[cell_id]),
                cell=cells.get(cell_id),
                row=_without_unknown(record.row if record else rows[cell_id]),
                environment=record.environment if record else environment,
                remarks=(*remarks, *trouble),
            )
        )
    return subjects


def with_details(subject: Subject, out: Path) -> Subject:
    """The subject with what its record holds beside the row, where there is a record that can be read."""
    try:
        record = Store(out).load(subject.cell_id)
    except UsageError:
        return subject  # remarked already
    return replace(subject, details=record.details) if record is not None else subject


def _rows(store: Store) -> tuple[dict[str, Row], list[str]]:
    """The table's rows by cell; none, and why, where it cannot be read but there are records."""
    try:
        table = read_table(store.out)
    except (NothingToJudgeError, UsageError) as error:
        if not store.others(()):
            raise
        return {}, [str(error)]
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    return {str(row["cell_id"]): row for row in rows}, []


def _records(store: Store, cell_ids: list[str]) -> tuple[dict[str, CellResult], dict[str, str]]:
    """The records that can be read, and why others cannot."""
    records, troubles = {}, {}
    for cell_id in cell_ids:
        try:
            record = store.load(cell_id)
        except UsageError as error:
            troubles[cell_id] = str(error)
            continue
        if record is not None:
            records[cell_id] = without_details(record)
    return records, troubles


def _provenance(out: Path, rows: Mapping[str, Row]) -> tuple[dict[str, Cell], Mapping[str, Any]]:
    """The cells of these rows, by id, of the scenario that ran, and the machine if it was one."""
    file = out / "provenance.json"
    try:
        provenance = read_json(file)
        loaded = validated_scenario(Document(file, dict(provenance["scenario"])), [])
        environments = list(provenance["environments"])
        for environment in environments:
            check_environment(environment)
    except (OSError, ValueError, KeyError, TypeError, LorafaProfError):
        return {}, {}  # then the rows are all that is known, which whoever shows them says
    cells: dict[str, Cell] = {}
    for place in sorted({(row["device"], row["gpu"] or None) for row in rows.values()}, key=str):
        try:
            planned = expand(loaded, _always(ResolvedDevice(*place)))
        except LorafaProfError:
            continue
        cells |= {plan.cell.cell_id: plan.cell for plan in planned if plan.cell.cell_id in rows}
    return cells, environments[0] if len(environments) == 1 else {}


def _always(place: ResolvedDevice) -> ResolveDevice:
    return lambda device, gpu: place


def _without_unknown(row: Row) -> dict[str, Any]:
    import pandas as pd

    return {name: value for name, value in row.items() if not pd.isna(value)}


def _label(row: Row) -> str:
    """As `Cell.label`, of what the row tells."""
    marks = {"model": "", "method": "", "rank": "r", "batch": "b", "seq": "s"}
    known = _without_unknown(row)
    return " ".join(f"{mark}{known[name]}" for name, mark in marks.items() if name in known)
