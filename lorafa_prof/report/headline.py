"""The one number of a report: what a method holds against the one that people compare it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.concluding.conclusion import HELD, PEAK, Conclusion, undisturbed
from lorafa_prof.concluding.naming import Naming, method_name
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.words.numbers import percent, size

#: Less of a value is no difference.
_LEAST = 0.0005


@dataclass(frozen=True)
class Headline:
    """A sentence, and the two cells that it compares: the reference, and the other one."""

    text: str
    pair: tuple[Point, Point]


def headline_of(points: Sequence[Point], found: Sequence[Conclusion]) -> Headline | None:
    """The first of the conclusions that compares what two cells hold, or their peaks; None without one."""
    by_id = {point.cell_id: point for point in points}
    for conclusion in found:
        if conclusion.kind == "methods":
            one, other = (by_id[cell_id] for cell_id in conclusion.cell_ids)
            for column, holds in ((HELD, True), (PEAK, False)):
                ours, theirs = undisturbed(one, column), undisturbed(other, column)
                if ours is not None and theirs:
                    where = Naming.of(points).pair(one, other)
                    text = _text(
                        method_name(one.method), method_name(other.method), ours, theirs, holds=holds
                    )
                    return Headline(f"{text} at {where}" if where else text, (other, one))
    return None


def _text(one: str, other: str, ours: float, theirs: float, *, holds: bool) -> str:
    change = (ours - theirs) / theirs
    verb = f"{one} holds" if holds else f"{one} peaks at"
    if abs(change) < _LEAST:
        return f"{verb} as much as {other}"
    words = "less" if change < 0 else "more"
    return f"{verb} {size(abs(ours - theirs))} ({percent(abs(change), 0)}) {words} than {other}"
