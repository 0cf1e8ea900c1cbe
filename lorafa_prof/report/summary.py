"""What a run comes to, in plain words: conclusions, what ran, and all methods at equal settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.cell import twin_gpu
from lorafa_prof.concluding.conclusions import conclusions_of
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.report.equal_cells import EqualCells, equal_cells, largest
from lorafa_prof.report.headline import Headline, headline_of
from lorafa_prof.words.phrases import count

_STATUS_WORDS = {
    "ok": "ran to the end",
    "oom": "ran out of memory",
    "error": "failed with an error",
    "timeout": "took too long",
    "skipped": "skipped",
}


@dataclass(frozen=True)
class Summary:
    """What a run comes to.

    Attributes:
        headline: None where no two methods can be compared.
        sentences: the conclusions, and then what ran and where.
        groups: all cells, by model and context.
        shown: the group that stands for the run: the headline's, else the largest; None without cells.
    """

    headline: Headline | None
    sentences: tuple[str, ...]
    groups: tuple[EqualCells, ...]
    shown: EqualCells | None

    @property
    def first(self) -> str:
        """The most telling of its sentences; empty without cells."""
        if self.headline is not None:
            return f"{self.headline.text}."
        return self.sentences[0] if self.sentences else ""


def summary_of(points: Sequence[Point]) -> Summary:
    """Sum up cells."""
    if not points:
        return Summary(None, (), (), None)
    found = conclusions_of(points)
    headline = headline_of(points, found)
    groups = equal_cells(points)
    shown = largest(groups)
    if headline is not None:
        shown = next(group for group in groups if headline.pair[1] in group.points)
    sentences = [*(conclusion.text for conclusion in found), _what_ran(points), _where(points)]
    return Summary(headline, tuple(sentences), tuple(groups), shown)


def _what_ran(points: Sequence[Point]) -> str:
    statuses = Counter(point.status for point in points)
    ordered = sorted(statuses, key=lambda status: (status != "ok", -statuses[status]))
    told = ", ".join(
        f"{statuses[status]:,} {_STATUS_WORDS.get(status, status or 'without a status')}"
        for status in ordered
    )
    return f"{count(len(points), 'cell')}: {told}."


def _where(points: Sequence[Point]) -> str:
    places = list(dict.fromkeys(str(point.settings["where"] or "an unknown device") for point in points))
    predicted = [gpu for place in places if (gpu := twin_gpu(place))]
    measured = [place for place in places if not twin_gpu(place)]
    told = [f"measured on {', '.join(measured)}"] if measured else []
    if predicted:
        told.append(f"predicted for {', '.join(predicted)} by the twin, which has no clock")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."
