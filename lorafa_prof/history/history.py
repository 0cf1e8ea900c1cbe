"""Values of cells at several moments, and where they changed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeVar

from lorafa_prof.claims.metric import CLAIM_METRICS
from lorafa_prof.comparing.tolerance import COMPARED, tolerance_of
from lorafa_prof.results.columns import Column
from lorafa_prof.words.amounts import Number

T = TypeVar("T")

#: A cell, by its id in a baseline, and the name of a metric.
Series = tuple[str, str]


@dataclass(frozen=True)
class Moment:
    """A state of the code, or a run.

    Attributes:
        name: what it is called: a commit, or a run's folder.
        written: when, as an ISO date and time; empty where nobody knows.
        subject: what it is about: a commit's first line, or a run's commit.
        values: in the units of their metrics.
        missing: why a value is not there, where something is known.
        packages: versions of what the numbers hang on, as far as they are known.
    """

    name: str
    written: str
    subject: str
    values: Mapping[Series, Number]
    missing: Mapping[Series, str] = field(default_factory=dict)
    packages: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A value that is another one than when it was last known.

    Attributes:
        series: which value.
        at: the number of the moment in which it is another one.
        before: what it was; None: it is new.
        after: what it is; None: it is gone.
        why: why it is gone, where something is known.
    """

    series: Series
    at: int
    before: Number | None
    after: Number | None
    why: str = ""

    @property
    def share(self) -> float | None:
        """The change over the value before it; None where there is no such ratio."""
        if self.before is None or self.after is None or not self.before:
            return None
        return (self.after - self.before) / abs(self.before)

    @property
    def reach(self) -> float:
        """How far the value moved, over what it was; 0 if it came or went."""
        if self.before is None or self.after is None:
            return 0.0
        return math.inf if self.share is None else abs(self.share)


@dataclass(frozen=True)
class History:
    """Moments, the oldest first.

    Attributes:
        of: what it is the history of.
        moments: at least one.
        labels: what people call the cells, by id.
        measured: cells measured on a GPU, whose numbers are not the same twice.
        notes: what a reader must know.
    """

    of: str
    moments: tuple[Moment, ...]
    labels: Mapping[str, str]
    measured: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def series(self) -> list[Series]:
        """All that has a value at some moment, cell by cell in the order of their first moment."""
        return list(dict.fromkeys(series for moment in self.moments for series in moment.values))

    def values(self, series: Series) -> list[Number | None]:
        """Return the values at all moments; None where there is none."""
        return [moment.values.get(series) for moment in self.moments]


def of_cells(history: History, cell_ids: Collection[str]) -> History:
    """Return the same of these cells alone."""
    moments = tuple(
        replace(moment, values=_of(cell_ids, moment.values), missing=_of(cell_ids, moment.missing))
        for moment in history.moments
    )
    return replace(history, moments=moments)


def _of(cell_ids: Collection[str], known: Mapping[Series, T]) -> dict[Series, T]:
    return {series: value for series, value in known.items() if series[0] in cell_ids}


def metric_of(series: Series) -> Column:
    """Return the column of a series' metric."""
    return CLAIM_METRICS[series[1]]


def changes_of(history: History) -> list[Change]:
    """Return every change, the oldest moment's first; what is within the tolerance of `compare` is none.

    A value is compared with the one from which it last changed, so that many small changes do not go unseen.
    """
    found = [change for series in history.series for change in _changes(history, series)]
    return sorted(found, key=lambda change: change.at)


def _changes(history: History, series: Series) -> Iterator[Change]:
    known: Number | None = None
    there = False
    for at, moment in enumerate(history.moments):
        value = moment.values.get(series)
        if value is None:
            if there:
                yield Change(series, at, known, None, moment.missing.get(series, ""))
        elif known is not None and _counts(history, series, known, value):
            yield Change(series, at, known, value)
            known = value
        elif not there and at:
            yield Change(series, at, None, value)
        known, there = (value if known is None else known), value is not None


def _counts(history: History, series: Series, before: Number, after: Number) -> bool:
    name = series[1]
    if name not in COMPARED:
        return before != after
    tolerance = tolerance_of(COMPARED[name], on_cuda=series[0] in history.measured)
    return abs(Fraction(after) - Fraction(before)) > tolerance.limit(before)


def moved(changes: Sequence[Change]) -> list[Series]:
    """Return the series of which a value became another one, the furthest in all first."""
    reaches: dict[Series, float] = {}
    for change in changes:
        if change.reach:
            reaches[change.series] = reaches.get(change.series, 0.0) + change.reach
    return sorted(reaches, key=lambda series: -reaches[series])
