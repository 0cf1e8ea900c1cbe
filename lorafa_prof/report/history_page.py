"""A history as one HTML file that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lorafa_prof.history.history import Change, History, Series, changes_of, metric_of, moved
from lorafa_prof.history.text import change_text, conclusion, new_versions, title_of
from lorafa_prof.report.templates import page_template
from lorafa_prof.words.amounts import Number
from lorafa_prof.words.numbers import percent_change, shown

_WIDTH, _HEIGHT, _PAD = 220.0, 36.0, 4.0


@dataclass(frozen=True)
class Dot:
    """A value in a line: its place in the picture, and what it is."""

    x: float
    y: float
    told: str


@dataclass(frozen=True)
class Row:
    """A cell and metric: its first and last value, and its line as the path of an SVG."""

    cell: str
    metric: str
    first: str
    last: str
    change: str
    moved: bool
    path: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Step:
    """A moment in which something changed."""

    name: str
    written: str
    subject: str
    versions: str
    changes: tuple[tuple[str, str, str], ...]


def history_page(history: History) -> str:
    """Return the page: what came of it, a line for every value, those that moved first, and every change."""
    changes = changes_of(history)
    return page_template("history.html.j2").render(
        title=title_of(history),
        conclusion=conclusion(history, changes),
        rows=list(_rows(history, changes)),
        steps=list(_steps(history, changes)),
        notes=history.notes,
        width=_WIDTH,
        height=_HEIGHT,
    )


def _rows(history: History, changes: Sequence[Change]) -> Iterator[Row]:
    furthest_first = moved(changes)
    others = [series for series in history.series if series not in set(furthest_first)]
    for series in (*furthest_first, *others):
        values = history.values(series)
        known = [value for value in values if value is not None]
        unit = metric_of(series).unit
        first, last = known[0], known[-1]
        path, dots = _line(history, series, values)
        yield Row(
            cell=history.labels[series[0]],
            metric=series[1],
            first=shown(first, unit),
            last=shown(last, unit),
            change=percent_change((last - first) / abs(first), 2) if first and first != last else "",
            moved=series in furthest_first,
            path=path,
            dots=dots,
        )


def _line(history: History, series: Series, values: Sequence[Number | None]) -> tuple[str, tuple[Dot, ...]]:
    """Return the steps of a line from the lowest to the highest value, broken where there is none."""
    known = [value for value in values if value is not None]
    low, span = min(known), max(known) - min(known)
    wide, high = _WIDTH - 2 * _PAD, _HEIGHT - 2 * _PAD
    parts: list[str] = []
    dots: list[Dot] = []
    for at, (moment, value) in enumerate(zip(history.moments, values, strict=True)):
        if value is None:
            continue
        x = _PAD + wide * at / max(1, len(values) - 1)
        y = _HEIGHT - _PAD - (high * (value - low) / span if span else high / 2)
        goes_on = at and values[at - 1] is not None
        parts.append(f"H{x:.1f}V{y:.1f}" if goes_on else f"M{x:.1f} {y:.1f}")
        dots.append(Dot(round(x, 1), round(y, 1), f"{moment.name}: {shown(value, metric_of(series).unit)}"))
    return "".join(parts), tuple(dots)


def _steps(history: History, changes: Sequence[Change]) -> Iterator[Step]:
    """Yield the moments with a change, the newest first."""
    for at, several in reversed([(at, list(each)) for at, each in groupby(changes, key=lambda c: c.at)]):
        moment = history.moments[at]
        yield Step(
            moment.name,
            moment.written[:10],
            moment.subject,
            new_versions(history, at),
            tuple((history.labels[c.series[0]], c.series[1], change_text(c)) for c in several),
        )
