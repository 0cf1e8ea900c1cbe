"""What a run comes to, in plain words: what ran, what each method needs, and how they compare."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorafa_prof.cell import twin_gpu
from lorafa_prof.concluding.alike import pairs
from lorafa_prof.concluding.between_methods import COMPARED
from lorafa_prof.concluding.conclusion import HELD, PEAK, SPEED
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.style import method_order
from lorafa_prof.results.marks import DISTURBED
from lorafa_prof.words.numbers import shown
from lorafa_prof.words.phrases import count, first_of

#: So many cells without a result are named.
_MOST_NAMED = 6

_STATUS_WORDS = {
    "ok": "ran to the end",
    "oom": "ran out of memory",
    "error": "failed with an error",
    "timeout": "took too long",
    "skipped": "skipped",
}
_WITHOUT_RESULT = {
    "oom": "Out of memory",
    "error": "Failed",
    "timeout": "Took too long",
    "skipped": "Skipped",
}


@dataclass(frozen=True)
class Extreme:
    """The least or the most of a metric, and the cell that has it."""

    value: float
    label: str


@dataclass(frozen=True)
class MethodNeeds:
    """What the cells of a method hold and need; None where none of them finished, or nothing was measured."""

    method: str
    cells: int
    finished: int
    held: tuple[Extreme, Extreme] | None
    peak: tuple[Extreme, Extreme] | None
    speed: tuple[Extreme, Extreme] | None


@dataclass(frozen=True)
class Ratio:
    """A metric of a method's cells over that of another's, over pairs of cells that are alike in all else.

    Pairs of which a mark disturbs a value are left out.
    """

    method: str
    reference: str
    metric: str
    pairs: int
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """What a run comes to.

    Attributes:
        sentences: what ran and where, and the ratios in words.
    """

    sentences: tuple[str, ...]
    methods: tuple[MethodNeeds, ...]
    ratios: tuple[Ratio, ...]


def summary_of(points: Sequence[Point], labels: Mapping[str, str]) -> Summary:
    """Sum up cells.

    Args:
        points: at least one.
        labels: what to call them, by id.
    """
    ratios = _ratios(points)
    sentences = [_what_ran(points), *_without_result(points, labels), _where(points), *_in_words(ratios)]
    return Summary(tuple(sentences), tuple(_methods(points, labels)), tuple(ratios))


def _what_ran(points: Sequence[Point]) -> str:
    statuses = Counter(point.status for point in points)
    ordered = sorted(statuses, key=lambda status: (status != "ok", -statuses[status]))
    told = ", ".join(
        f"{statuses[status]:,} {_STATUS_WORDS.get(status, status or 'without a status')}"
        for status in ordered
    )
    return f"{count(len(points), 'cell')}: {told}."


def _without_result(points: Sequence[Point], labels: Mapping[str, str]) -> list[str]:
    told = []
    for status, word in _WITHOUT_RESULT.items():
        names = [labels[point.cell_id] for point in points if point.status == status]
        if names:
            told.append(f"{word}: {first_of(names, _MOST_NAMED, between='; ')}.")
    return told


def _where(points: Sequence[Point]) -> str:
    places = list(dict.fromkeys(str(point.settings["where"] or "an unknown device") for point in points))
    predicted = [gpu for place in places if (gpu := twin_gpu(place))]
    measured = [place for place in places if not twin_gpu(place)]
    told = [f"measured on {', '.join(measured)}"] if measured else []
    if predicted:
        told.append(f"predicted for {', '.join(predicted)} by the twin, which has no clock")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def _methods(points: Sequence[Point], labels: Mapping[str, str]) -> list[MethodNeeds]:
    by_method: defaultdict[str, list[Point]] = defaultdict(list)
    for point in points:
        by_method[point.method].append(point)
    return [
        MethodNeeds(
            method,
            len(of),
            sum(point.ok for point in of),
            *(_extremes(of, column, labels) for column in (HELD, PEAK, SPEED)),
        )
        for method, of in sorted(by_method.items(), key=lambda item: method_order(item[0]))
    ]


def _extremes(
    points: Sequence[Point], column: str, labels: Mapping[str, str]
) -> tuple[Extreme, Extreme] | None:
    known = [(value, point) for point in points if (value := point.value(column)) is not None]
    if not known:
        return None
    low, high = (choose(known, key=lambda pair: pair[0]) for choose in (min, max))
    return Extreme(low[0], labels[low[1].cell_id]), Extreme(high[0], labels[high[1].cell_id])


def _ratios(points: Sequence[Point]) -> list[Ratio]:
    found = []
    for method, reference in COMPARED:
        alike = pairs(points, method, reference)
        for metric in (HELD, PEAK, SPEED):
            values = [
                ours / theirs
                for one, other in alike
                if not {*one.against(metric), *other.against(metric)} & set(DISTURBED)
                and (ours := one.value(metric)) is not None
                and (theirs := other.value(metric))
            ]
            if values:
                found.append(Ratio(method, reference, metric, len(values), min(values), max(values)))
    return found


def _in_words(ratios: Sequence[Ratio]) -> list[str]:
    together: defaultdict[tuple[str, str], list[Ratio]] = defaultdict(list)
    for ratio in ratios:
        together[ratio.method, ratio.reference].append(ratio)
    told = []
    for (method, reference), of in together.items():
        parts = [f"{_PHRASES[ratio.metric]} {_change(ratio.low, ratio.high)}" for ratio in of]
        pairs = f"{count(max(ratio.pairs for ratio in of), 'pair')} of cells alike in all else"
        told.append(f"{method} against {reference} ({pairs}): {', '.join(parts)}.")
    return told


_PHRASES = {HELD: "it holds", PEAK: "its peak is", SPEED: "its tokens per second are"}


def _change(low: float, high: float) -> str:
    """Two ratios as "21.0 % to 22.1 % less", the smaller change first."""
    changes = [_percent(low), _percent(high)]
    words = {word for _, word in changes if word}
    if len(words) > 1:
        return f"between {' and '.join(f'{amount} % {word}' for amount, word in changes)}"
    amounts = sorted({amount for amount, _ in changes}, key=float)
    return f"{' % to '.join(amounts)} % {words.pop()}" if words else "the same"


def _percent(ratio: float) -> tuple[str, str]:
    text = f"{abs(ratio - 1) * 100:.1f}"
    return text, "" if float(text) == 0 else "less" if ratio < 1 else "more"


def range_text(extremes: tuple[Extreme, Extreme] | None, unit: str) -> str:
    """The least and the most for people; empty where nothing is known."""
    if extremes is None:
        return ""
    low, high = (shown(extreme.value, unit) for extreme in extremes)
    return low if low == high else f"{low} to {high}"
