"""Memory over a run of steps of different lengths: what each step takes, and what stays reserved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.page import (
    MARGIN,
    Panel,
    PanelRow,
    assemble,
    column_width,
    draw_name,
    new_drawing,
    text_width,
)
from lorafa_prof.figures.kit.points import METHOD_SETTINGS, Point, differing, fixed, named, points_of
from lorafa_prof.figures.kit.representatives import largest_of_each_method, not_drawn
from lorafa_prof.figures.kit.style import DASHES, FAINT, GREY, INK, SOLID, looks, pt, style
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.results.records import Results
from lorafa_prof.words.numbers import size
from lorafa_prof.words.scales import Scale, bytes_scale

_TITLE = "Memory over steps of different lengths"
_NOTE = "Peaks within each step, and its length in tokens. Warm-up steps are not shown."
_HEIGHT, _ABOVE, _BELOW = 1.1, 0.16, 0.36
_HEADROOM = 1.08
# Of lines in the colour of the panel's method.
_DASHES = {"reserved": DASHES[1], "allocated": SOLID}


@dataclass(frozen=True)
class _Run:
    """Of each step, in order, the length in tokens and the peaks in bytes; `reserved` of a GPU alone."""

    lengths: tuple[int, ...]
    allocated: tuple[int, ...]
    reserved: tuple[int, ...]

    @property
    def largest_bytes(self) -> int:
        return max(*self.allocated, *self.reserved)


def _run(details: Mapping[str, Any]) -> _Run | None:
    steps = (details.get("memory") or {}).get("steps")
    if not steps:
        return None
    peaks = [step["memory"]["peak"] for step in steps]
    reserved = tuple(peak["reserved"] for peak in peaks if peak["reserved"] is not None)
    return _Run(tuple(step["seq"] for step in steps), tuple(peak["allocated"] for peak in peaks), reserved)


@style()
def draw(results: Results) -> Drawing:
    """A panel for each of up to four cells, one below the other, on one scale.

    Raises:
        NoDataError: no cell that finished has a record of a run of different lengths.
    """
    chosen = largest_of_each_method(points_of(results.table), lambda point: results.read(point.cell_id, _run))
    if not chosen:
        raise NoDataError("no finished cell has a record (OUT/cells) of a run of different lengths")
    drawing = new_drawing()
    points = [point for point, _ in chosen]
    own = differing(points, METHOD_SETTINGS)
    look = looks(point.method for point in points)
    largest = max(run.largest_bytes for _, run in chosen)
    scale, room = bytes_scale(largest), column_width(len(chosen))
    top = _HEADROOM * largest / scale.divisor
    assemble(
        drawing,
        title=_TITLE,
        shared=", ".join(filter(None, (said(points[0].model), fixed(points)))),
        rows=[
            _row(drawing, named(point, own), run, look[point.method].color, scale, top, room)
            for point, run in chosen
        ],
        handles=_legend([run for _, run in chosen]),
        notes=[*map(_worst, chosen), *not_drawn(len(chosen), len(results.table)), _NOTE],
    )
    return drawing


def _row(
    drawing: Drawing, name: str, run: _Run, color: str, scale: Scale, top: float, room: float
) -> PanelRow:
    """A run in its method's colour."""
    axes = drawing.add_axes((0, 0, 1, 1), label=f"run:{name}")
    beside = axes.twinx()
    numbers = range(1, len(run.lengths) + 1)
    beside.bar(numbers, run.lengths, width=1.0, color=FAINT, alpha=0.6, linewidth=0, gid=f"lengths:{name}")
    beside.set_ylim(0, _HEADROOM * max(run.lengths))
    beside.set_ylabel("tokens")
    # Above the bars, of which matplotlib draws those axes last that came last.
    axes.set_zorder(beside.get_zorder() + 1)
    axes.patch.set_visible(False)
    for values, what in ((run.reserved, "reserved"), (run.allocated, "allocated")):
        if values:
            heights = [value / scale.divisor for value in values]
            dash = _DASHES[what]
            axes.step(
                numbers,
                heights,
                where="mid",
                color=color,
                linestyle=dash,
                linewidth=pt(1.0),
                gid=f"{what}:{name}",
            )
    left, right = _dress(drawing, axes, scale, top), _dress_lengths(drawing, beside, max(run.lengths))
    axes.set_xlim(0.5, len(run.lengths) + 0.5)
    # A tick outside of the axes would be a label outside of the page.
    ticks = MaxNLocator(nbins=6, integer=True).tick_values(1, len(run.lengths))
    axes.set_xticks([tick for tick in ticks if 1 <= tick <= len(run.lengths)])
    width = room - MARGIN - left - right
    panel = Panel(axes, left, width)
    above = draw_name(drawing, panel, name, room, _ABOVE)
    return PanelRow((panel, Panel(beside, left, width)), _HEIGHT, above, _BELOW)


def _dress(drawing: Drawing, axes: Axes, scale: Scale, top: float) -> float:
    """Give the axes of bytes their ticks; returns the inches that labels take left of them."""
    ticks = [t for t in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, top) if 0 <= t <= top]
    labels = [f"{tick:,g}" for tick in ticks]
    axes.set_ylim(0, top)
    axes.set_yticks(ticks, labels)
    axes.set_ylabel(scale.unit)
    axes.set_xlabel("step")
    axes.grid(axis="y")
    return MARGIN + 0.22 + max(text_width(drawing, label) for label in labels)


def _dress_lengths(drawing: Drawing, axes: Axes, longest: int) -> float:
    """Give the axes of lengths their ticks; returns the inches that labels take right of them."""
    ticks = [tick for tick in MaxNLocator(nbins=3, integer=True).tick_values(0, longest) if tick <= longest]
    labels = [f"{tick:,.0f}" for tick in ticks]
    axes.set_yticks(ticks, labels, color=GREY)
    axes.yaxis.label.set_color(GREY)
    axes.spines["top"].set_visible(False)
    return 0.24 + max(text_width(drawing, label) for label in labels)


def _legend(runs: Sequence[_Run]) -> list[Artist]:
    there = [what for what in _DASHES if what == "allocated" or any(run.reserved for run in runs)]
    lines = [Line2D([], [], color=INK, linestyle=_DASHES[what], label=what) for what in there]
    return [*lines, Line2D([], [], color=FAINT, alpha=0.6, linewidth=pt(4), label="length")]


def _worst(shown: tuple[Point, _Run]) -> str:
    point, run = shown
    worst = run.allocated.index(max(run.allocated))
    grown = f"; reserved from {size(run.reserved[0])} to {size(max(run.reserved))}" if run.reserved else ""
    return (
        f"{named(point, ())}: most is allocated in step {worst + 1} of {len(run.lengths)} "
        f"(seq {run.lengths[worst]}), {size(run.allocated[worst])}{grown}."
    )


FIGURE = RecordFigure("memory-over-steps", _TITLE, draw)
