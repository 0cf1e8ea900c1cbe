"""Bars of the parts that memory is made of, set against the peak; no stack claims to be the peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lorafa_prof.figures.kit.bar import Bar, Stretch
from lorafa_prof.figures.kit.bars import BarChart
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.style import BLACK, pt
from lorafa_prof.parts import PEAK_PARTS
from lorafa_prof.words.scales import bytes_scale

PEAK = "peak_allocated_bytes"


def stacked_bar(point: Point, parts: Mapping[str, int]) -> Bar | None:
    """The bar of a cell's `peak_parts`; None if there are none.

    Where they sum to more than the peak (they are not all whole at any one time), the stretch beyond the
    mark of the peak is faded and the figure says why in a note.
    """
    if not parts:
        return None
    stretches = tuple(
        Stretch(key, parts[key], part.color, part.hatch) for key, part in PEAK_PARTS.items() if key in parts
    )
    peak = point.value(PEAK)
    remark = "" if peak is not None else "(peak not measured)"
    return Bar(stretches, mark=peak, remark=remark, doubts=point.against(PEAK, "activation_bytes"))


def draw_stacks(
    title: str, points: Sequence[Point], bars: Mapping[str, Bar], notes: Sequence[str]
) -> Drawing:
    """A whole figure of stacked bars, by cell, with a legend of what is on it."""
    chart = BarChart(title, "allocated", bytes_scale, _handles(bars), [*_beyond_peak(bars), *notes])
    return chart.draw(points, bars)


def _handles(bars: Mapping[str, Bar]) -> list[Artist]:
    drawn = {stretch.key for bar in bars.values() for stretch in bar.stretches if stretch.length > 0}
    handles: list[Artist] = [
        Patch(facecolor=part.color, hatch=part.hatch, edgecolor="white", linewidth=0, label=part.name)
        for key, part in PEAK_PARTS.items()
        if key in drawn
    ]
    if any(bar.mark is not None for bar in bars.values()):
        handles.append(_peak_handle())
    return handles


def _peak_handle() -> Line2D:
    return Line2D(
        [],
        [],
        color=BLACK,
        marker="|",
        linestyle="",
        markersize=pt(7),
        markeredgewidth=pt(1.4),
        label="peak allocated",
    )


def _beyond_peak(bars: Mapping[str, Bar]) -> list[str]:
    if not any(bar.mark is not None and bar.length > bar.mark for bar in bars.values()):
        return []
    return [
        "Faded beyond the mark: parts are shown at their own fullest moment, and these do not all "
        "live at the moment of the peak."
    ]
