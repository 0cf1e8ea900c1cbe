"""What the charts of a report show: lines of cells that differ in nothing but an axis, and their colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.series import series_of
from lorafa_prof.figures.kit.shades import Shades, shades
from lorafa_prof.figures.kit.style import looks
from lorafa_prof.parts import PEAK_PARTS

#: Settings that a chart may have as its horizontal axis.
AXES = ("seq", "batch", "rank", "accumulation", "padding")


#: Figures that show nothing but what the page's charts do.
CHARTED = frozenset(
    {
        "memory-by-method",
        "memory-by-kind",
        "memory-over-seq",
        "memory-over-batch",
        "memory-over-rank",
        "throughput",
    }
)


@dataclass(frozen=True)
class ChartLine:
    """Cells that a line joins.

    Attributes:
        axis: of `AXES`.
        cell_ids: in the order of the axis.
        marker: matplotlib's name of it.
        weight: scales line and marker, so that of equal lines both are seen.
        dash: lengths of strokes and gaps, in widths of the line; empty for a solid one.
        level: the method has no value on the axis, so its one cell is a level line.
    """

    axis: str
    model: str
    label: str
    shades: Shades
    marker: str
    weight: float
    dash: tuple[float, ...]
    level: bool
    cell_ids: tuple[str, ...]


def lines_of(points: Sequence[Point]) -> list[ChartLine]:
    """Lines of every axis on which some cells of a model that differ in nothing else have several values."""
    return [line for axis in AXES for line in _lines_along(points, axis)]


def _lines_along(points: Sequence[Point], axis: str) -> list[ChartLine]:
    finished = [point for point in points if point.ok]
    lines = []
    for series in series_of(finished, axis):
        for model in dict.fromkeys(point.model for point in series.points):
            ids = {point.cell_id for point in series.points if point.model == model}
            lines.append(
                ChartLine(
                    axis,
                    model,
                    series.label,
                    shades(series.style.color),
                    series.style.marker,
                    series.style.weight,
                    series.style.dash[1],
                    series.reference,
                    tuple(point.cell_id for point in series.of(ids, axis)),
                )
            )
    swept = {line.model for line in lines if len(line.cell_ids) > 1 and not line.level}
    return [line for line in lines if line.model in swept]


def method_shades(points: Sequence[Point]) -> dict[str, Shades]:
    """The colour of each method, the same as in figures."""
    return {method: shades(look.color) for method, look in looks(p.method for p in points).items()}


def part_shades() -> dict[str, Shades]:
    """The colour of each of `PEAK_PARTS`."""
    return {key: shades(part.color) for key, part in PEAK_PARTS.items()}
