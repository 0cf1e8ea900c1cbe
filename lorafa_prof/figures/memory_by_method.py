"""What holds the memory of a step: weights, optimizer state, gradients, activations, against the peak."""

from __future__ import annotations

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pandas import DataFrame

from lorafa_prof.figures.bar import Bar, Part
from lorafa_prof.figures.bars import BarChart
from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.points import Point, points_of
from lorafa_prof.figures.scale import bytes_scale
from lorafa_prof.figures.style import BLACK, BLUE, ORANGE, PURPLE, SKY, style

_PEAK = "peak_allocated_bytes"
_PARTS = {
    "weights_bytes": ("weights", BLUE),
    "optimizer_bytes": ("optimizer state", SKY),
    "gradients_bytes": ("gradients", PURPLE),
    "activation_bytes": ("activations", ORANGE),
}
_OTHER = ("other", "#C8C8C8", "//////")
_TITLE = "Memory of one training step, by method"


def _bar(point: Point) -> Bar | None:
    known = {key: length for key in _PARTS if (length := point.value(key)) is not None}
    peak = point.value(_PEAK)
    if not known and peak is None:
        return None
    parts = [Part(key, length, _PARTS[key][1]) for key, length in known.items()]
    held = sum(known.values())
    if peak is not None and peak > held:
        parts.append(Part("other", peak - held, _OTHER[1], _OTHER[2]))
    remark = "" if peak is not None else "(peak not measured)"
    return Bar(tuple(parts), mark=peak, remark=remark)


def _notes(points: list[Point], bars: dict[str, Bar]) -> list[str]:
    notes = []
    if any(bar.mark is not None and bar.length > bar.mark for bar in bars.values()):
        notes.append(
            "Faded beyond the mark: parts are shown at their own fullest moment, and these do not all "
            "live at the moment of the peak."
        )
    unknown = [
        label
        for key, (label, _) in _PARTS.items()
        if any(point.cell_id in bars and point.value(key) is None for point in points)
    ]
    if unknown:
        notes.append(f"Not measured in some cells, so part of other there: {', '.join(unknown)}.")
    return notes


def _handles(bars: dict[str, Bar]) -> list[Artist]:
    drawn = {part.key for bar in bars.values() for part in bar.parts if part.length > 0}
    handles: list[Artist] = [
        Patch(color=color, label=label) for key, (label, color) in _PARTS.items() if key in drawn
    ]
    if "other" in drawn:
        handles.append(
            Patch(facecolor=_OTHER[1], hatch=_OTHER[2], edgecolor="white", label="other at the peak")
        )
    if any(bar.mark is not None for bar in bars.values()):
        handles.append(
            Line2D(
                [],
                [],
                color=BLACK,
                marker="|",
                linestyle="",
                markersize=7,
                markeredgewidth=1.4,
                label="peak allocated",
            )
        )
    return handles


@style()
def draw(table: DataFrame) -> Drawing:
    """Stacked bars of the parts with the peak marked; never a stack that claims to be the peak and is not.

    Where the parts sum to less than the peak, the rest is "other at the peak" and the bar totals the peak.
    Where they sum to more (gradients and activations are not both whole at any one time), the stretch
    beyond the peak's mark is faded and a note says why.

    Raises:
        NoDataError: no cell that finished has any of these numbers.
    """
    points = points_of(table)
    bars = {point.cell_id: bar for point in points if (bar := _bar(point)) is not None}
    if not bars:
        raise NoDataError(f"no finished cell has {_PEAK} or any part of it")
    chart = BarChart(_TITLE, "allocated", bytes_scale, _handles(bars), _notes(points, bars))
    return chart.draw(points, bars)


FIGURE = Figure("memory-by-method", _TITLE, draw)
