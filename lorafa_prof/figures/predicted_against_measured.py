"""How right the twin is: its predicted peak of allocated memory against the GPU's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure as Drawing

from lorafa_prof.cell import twin_gpu
from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.marked import rings_note
from lorafa_prof.figures.kit.page import assemble, column_width, new_drawing
from lorafa_prof.figures.kit.panels import panel_row, plot_height
from lorafa_prof.figures.kit.points import SETTINGS, Point, points_of
from lorafa_prof.figures.kit.scatter import Axis, Mark, ScatterPanel, method_handles, plain
from lorafa_prof.figures.kit.style import looks, style
from lorafa_prof.results.records import Results
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count
from lorafa_prof.words.scales import bytes_scale

_TITLE = "Peak allocated, predicted against measured"
_PEAK = "peak_allocated_bytes"

_UNCOMPARED = {
    "oom": "out of memory on both sides",
    "oom-predicted": "out of memory only where predicted",
    "oom-measured": "out of memory only where measured",
    "error": "failed",
}


@dataclass(frozen=True)
class PeakPair:
    """A cell on both sides, in bytes.

    `placed` says that the two agree once the twin's segments lie where the driver put the GPU's; `doubts` are
    marks that speak against what was measured.
    """

    cell_id: str
    method: str
    predicted_bytes: float
    measured_bytes: float
    placed: bool = False
    doubts: tuple[str, ...] = ()

    @property
    def error_bytes(self) -> float:
        """Predicted less measured."""
        return self.predicted_bytes - self.measured_bytes

    @property
    def error(self) -> float:
        """The same as a share of what was measured."""
        return self.error_bytes / self.measured_bytes


def _verified(table: pd.DataFrame) -> list[PeakPair]:
    """The rows of verify.csv that have both numbers."""
    predicted, measured = (f"{side}_{_PEAK}" for side in ("predicted", "measured"))
    if not {"method", predicted, measured} <= set(table.columns):
        return []
    known = table[table[predicted].notna() & (table[measured] > 0)]
    return [
        PeakPair(
            str(row["cell_id"]),
            str(row["method"]),
            float(row[predicted]),
            float(row[measured]),
            row["status"] == "placed",
        )
        for row in known.to_dict(orient="records")
    ]


def _paired(points: Iterable[Point]) -> list[PeakPair]:
    """Cells of the results table that were measured, with those predicted for the same GPU and settings.

    Where the table does not tell two cells of one side apart, neither is compared.
    """
    sides: dict[tuple[object, ...], dict[bool, list[Point]]] = {}
    for point in points:
        where = str(point.settings["where"])
        if point.value(_PEAK):
            settings = (point.settings[name] for name in SETTINGS if name != "where")
            key = (point.model, point.method, twin_gpu(where) or where, *settings)
            by_side = sides.setdefault(key, {True: [], False: []})
            by_side[twin_gpu(where) is not None].append(point)
    alone = [(found[True][0], found[False][0]) for found in sides.values() if _one_each(found)]
    return [
        PeakPair(
            measured.cell_id,
            measured.method,
            predicted.values[_PEAK],
            measured.values[_PEAK],
            doubts=measured.against(_PEAK),
        )
        for predicted, measured in alone
    ]


def _one_each(sides: Mapping[bool, Sequence[Point]]) -> bool:
    return len(sides[True]) == len(sides[False]) == 1


@style()
def draw(results: Results) -> Drawing:
    """Points along the line where both are equal, and their differences from it.

    The cells are those of verify.csv, or of the table where there is no such file.

    Raises:
        NoDataError: no cell is both predicted and measured.
    """
    verification = results.verification
    pairs = _verified(verification) if verification is not None else _paired(points_of(results.table))
    if not pairs:
        raise NoDataError(
            "no cell is both predicted and measured: neither in verify.csv, which `lorafa-prof verify` "
            "writes, nor, without that file, in results.csv as rows for sim:<gpu> and for that GPU"
        )
    look = looks(pair.method for pair in pairs)
    scale = bytes_scale(max(pair.measured_bytes for pair in pairs))
    measured = Axis(f"measured ({scale.unit})", plain, logarithmic=True)
    predicted = Axis(f"predicted ({scale.unit})", plain, logarithmic=True)
    percent = Axis("difference (%)", plain)
    places = [pair.measured_bytes / scale.divisor for pair in pairs]
    both = [
        Mark(pair.method, place, pair.predicted_bytes / scale.divisor, pair.doubts)
        for pair, place in zip(pairs, places, strict=True)
    ]
    errors = [
        Mark(pair.method, place, 100 * pair.error, pair.doubts)
        for pair, place in zip(pairs, places, strict=True)
    ]
    height = plot_height(1)
    panels = [
        ScatterPanel("predicted", both, measured, predicted, look, height, diagonal=True),
        ScatterPanel("difference", errors, measured, percent, look, height, level=True),
    ]
    drawing = new_drawing()
    assemble(
        drawing,
        title=_TITLE,
        shared="from verify.csv" if verification is not None else "from results.csv",
        rows=[panel_row(drawing, count(len(pairs), "cell"), panels, column_width(1))],
        handles=method_handles(look),
        notes=[*_agreement(pairs), *rings_note(pair.doubts for pair in pairs), *_uncompared(verification)],
    )
    return drawing


def _agreement(pairs: Sequence[PeakPair]) -> list[str]:
    apart = [pair for pair in pairs if pair.error_bytes]
    notes = [f"To the byte: {len(pairs) - len(apart):,} of {count(len(pairs), 'cell')}."]
    if apart:
        worst = max(apart, key=lambda pair: abs(pair.error))
        error = f"{100 * worst.error:+.3g} % ({size(abs(worst.error_bytes))})"
        notes.append(f"Largest difference: {error}, {worst.cell_id}.")
    if placed := sum(pair.placed for pair in apart):
        notes.append(
            f"Of those that differ, {count(placed, 'cell')} agree once the twin's segments lie where the "
            "driver put the GPU's."
        )
    return notes


def _uncompared(verification: pd.DataFrame | None) -> list[str]:
    """What has no two numbers, and why."""
    if verification is None:
        return []
    counts = Counter(str(status) for status in verification["status"])
    parts = [
        f"{count(counts[status], 'cell')} {reason}"
        for status, reason in _UNCOMPARED.items()
        if counts[status]
    ]
    return [f"Not drawn: {', '.join(parts)}."] if parts else []


FIGURE = RecordFigure("predicted-against-measured", _TITLE, draw)
