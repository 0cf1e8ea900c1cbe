"""Bars of the parts that memory is made of, set against the peak; no stack claims to be the peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lorafa_prof.figures.kit.bar import Bar, Part
from lorafa_prof.figures.kit.bars import BarChart
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.style import BLACK, BLUE, PURPLE, SKY, pt
from lorafa_prof.words.scales import bytes_scale

PEAK = "peak_allocated_bytes"


@dataclass(frozen=True)
class PartLook:
    """How a part is shown, and its name in the legend."""

    label: str
    color: str
    hatch: str = ""


STATIC = {
    "weights_bytes": PartLook("weights", BLUE),
    "optimizer_bytes": PartLook("optimizer state", SKY),
    "gradients_bytes": PartLook("gradients", PURPLE),
}
"""Columns of what is not held for backward."""

_OTHER = PartLook("other at the peak", "#C8C8C8", "//////")


@dataclass(frozen=True)
class MemoryStack:
    """A whole figure: a stack of `parts`, in their order, for each cell.

    Where a cell's parts sum to less than its peak, the rest is "other at the peak". Where they sum to more
    (they are not all whole at any one time), the stretch beyond the peak's mark is faded and a note says why.
    """

    title: str
    parts: Mapping[str, PartLook]

    def bar(self, lengths: Mapping[str, float], peak: float | None) -> Bar | None:
        """The bar of the parts that are known, in bytes; None if nothing is."""
        if not lengths and peak is None:
            return None
        parts = [
            Part(key, lengths[key], look.color, look.hatch)
            for key, look in self.parts.items()
            if key in lengths
        ]
        held = sum(lengths.values())
        if peak is not None and peak > held:
            parts.append(Part("other", peak - held, _OTHER.color, _OTHER.hatch))
        return Bar(tuple(parts), mark=peak, remark="" if peak is not None else "(peak not measured)")

    def draw(self, points: Sequence[Point], bars: Mapping[str, Bar], notes: Sequence[str]) -> Drawing:
        """The drawing, with a legend of what is on it."""
        chart = BarChart(
            self.title, "allocated", bytes_scale, self._handles(bars), [*_beyond_peak(bars), *notes]
        )
        return chart.draw(points, bars)

    def _handles(self, bars: Mapping[str, Bar]) -> list[Artist]:
        drawn = {part.key for bar in bars.values() for part in bar.parts if part.length > 0}
        looks = {**self.parts, "other": _OTHER}
        handles: list[Artist] = [
            Patch(facecolor=look.color, hatch=look.hatch, edgecolor="white", linewidth=0, label=look.label)
            for key, look in looks.items()
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
