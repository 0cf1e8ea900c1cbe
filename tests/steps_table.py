"""The lines of reports/h200-steps that are predicted again, and which of them tests try."""

from __future__ import annotations

import csv
import os

import pytest
from programs import ROOT, program

from lorafa_prof.cell import Cell, twin_device

GPU = "h200"
#: What `make bench-steps` sets: every line is tried, not one of each kind.
ALL_ARE_TRIED = bool(os.environ.get("LORAFA_ALL_STEPS"))
Row = dict[str, str]
STEPS = program("benchmarks/steps.py")

#: The tables whose cells are small enough to predict again in tests.
TABLES = ("cells", "kbit")


def _lines(table: str) -> list[Row]:
    with (ROOT / "reports" / "h200-steps" / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


ROWS = [row for table in TABLES for row in _lines(table)]


def cell_of(row: Row) -> Cell:
    """The cell of a line, on the twin."""
    cell: Cell = STEPS.cell_of(STEPS.spec_of(row), twin_device(GPU), GPU)
    return cell


def name_of(row: Row) -> str:
    """A line's settings, in a test's name."""
    return " ".join(row[name] for name in STEPS.SETTINGS if row[name])


only_if_all_are_tried = pytest.mark.skipif(not ALL_ARE_TRIED, reason="`make bench-steps` tries it")
