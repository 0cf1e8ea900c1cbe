"""What is to be explained: a cell, and what is known of how it ran."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.scenario.labels import distinct_labels
from lorafa_prof.words.phrases import first_of

MOST_NAMED = 8


@dataclass(frozen=True)
class Subject:
    """A cell, and what was measured of it.

    Attributes:
        label: what it is called among the others.
        cell: its settings; None where nothing that is kept tells them.
        row: of the table, without what is unknown; empty of a cell that was not run.
        details: of its record.
        environment: of the machine that measured it, where that is known.
        remarks: what could not be read, and why.
    """

    cell_id: str
    label: str
    cell: Cell | None
    row: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def subjects_of(cells: Sequence[Cell]) -> list[Subject]:
    """Cells that were not run."""
    labels = distinct_labels(cells)
    return [Subject(cell.cell_id, labels[cell.cell_id], cell) for cell in cells]


def chosen(subjects: Sequence[Subject], pattern: str | None, option: str) -> tuple[Subject, str]:
    """The first subject whose id or label `pattern` matches, and a line that names all, if there are others.

    Raises:
        UsageError: the pattern is no regular expression, or matches none.
    """
    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise UsageError(f"{option} {pattern}: this is no regular expression: {error}") from error
    found = [each for each in subjects if wanted.search(each.cell_id) or wanted.search(each.label)]
    if not found:
        raise UsageError(f"{option} {pattern}: no cell matches; there are {_named(subjects)}")
    if len(found) == 1:
        return found[0], ""
    return found[0], f"{len(found)} cells match, the first is taken; {option} REGEX chooses: {_named(found)}"


def _named(subjects: Sequence[Subject]) -> str:
    return first_of([f"'{subject.label}'" for subject in subjects], MOST_NAMED)
