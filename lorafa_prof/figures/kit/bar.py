"""One horizontal bar: stacked stretches, a mark across it, a whisker, a number at its end."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes

from lorafa_prof.figures.kit.marked import hatch
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.style import BLACK, LOST, pt
from lorafa_prof.words.numbers import three_digits
from lorafa_prof.words.scales import Scale

VALUE_GAP = 0.05
"""Inches between a bar and its number."""

_THICKNESS = 0.115


@dataclass(frozen=True)
class Stretch:
    """A stretch of a bar: `length` in the table's unit."""

    key: str
    length: float
    color: str | tuple[float, float, float]
    hatch: str = ""


@dataclass(frozen=True)
class Bar:
    """What is drawn for one cell, in the table's unit.

    Args:
        stretches: one after the other.
        mark: a black stroke across the bar; what of the stack lies beyond it is faded.
        spread: low and high end of a whisker.
        remark: words behind the bar's number.
        doubts: marks of the row that speak against the number: the bar is hatched.
    """

    stretches: tuple[Stretch, ...]
    mark: float | None = None
    spread: tuple[float, float] | None = None
    remark: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def length(self) -> float:
        """Sum of the stretches."""
        return sum(stretch.length for stretch in self.stretches)

    @property
    def total(self) -> float:
        """The number printed at the bar's end: the mark's, if there is one."""
        return self.length if self.mark is None else self.mark

    @property
    def end(self) -> float:
        """Where the drawing of the bar ends."""
        return max(self.length, self.mark or 0.0, *(self.spread or (0.0,)))


def value_text(point: Point, bar: Bar | None, scale: Scale) -> str:
    """The number at the bar's end, or in words why there is none."""
    if bar is None:
        return f"× {point.failure()}"
    return " ".join(filter(None, (three_digits(bar.total / scale.divisor), bar.remark)))


def draw_bar(axes: Axes, middle: float, point: Point, bar: Bar | None, scale: Scale) -> None:
    """Draw `bar` at height `middle`; each artist's gid names what it shows and the cell."""
    if bar is not None:
        _draw_stretches(axes, middle, point, bar, scale)
        if bar.doubts:
            length, color = bar.length / scale.divisor, bar.stretches[0].color
            hatch(axes, middle, length, _THICKNESS, color, f"marked:{point.cell_id}")
        _draw_mark(axes, middle, point, bar, scale)
        _draw_spread(axes, middle, point, bar, scale)
    axes.annotate(
        value_text(point, bar, scale),
        (bar.end / scale.divisor if bar else 0.0, middle),
        xytext=(pt(VALUE_GAP * 72), 0),
        textcoords="offset points",
        va="center_baseline",
        color=LOST if bar is None and not point.ok else BLACK,
        gid=f"text:{point.cell_id}",
    )


def _draw_stretches(axes: Axes, middle: float, point: Point, bar: Bar, scale: Scale) -> None:
    start = 0.0
    for stretch in bar.stretches:
        length = stretch.length / scale.divisor
        drawn = axes.barh(
            middle,
            length,
            _THICKNESS,
            left=start,
            color=stretch.color,
            hatch=stretch.hatch,
            edgecolor="white",
            linewidth=pt(0.3),
        )
        drawn.patches[0].set_gid(f"{stretch.key}:{point.cell_id}")
        start += length


def _draw_mark(axes: Axes, middle: float, point: Point, bar: Bar, scale: Scale) -> None:
    if bar.mark is None:
        return
    mark = bar.mark / scale.divisor
    excess = bar.length / scale.divisor - mark
    if excess > 0:
        axes.barh(middle, excess, _THICKNESS * 1.1, left=mark, color="white", alpha=0.65, linewidth=0)
    axes.plot(
        [mark, mark],
        [middle - _THICKNESS * 0.68, middle + _THICKNESS * 0.68],
        color=BLACK,
        linewidth=pt(1.4),
        solid_capstyle="butt",
        gid=f"mark:{point.cell_id}",
    )


def _draw_spread(axes: Axes, middle: float, point: Point, bar: Bar, scale: Scale) -> None:
    if bar.spread is None:
        return
    ends = [value / scale.divisor for value in bar.spread]
    axes.plot(ends, [middle, middle], color="#444444", linewidth=pt(0.8), gid=f"spread:{point.cell_id}")
    axes.plot(ends, [middle, middle], color="#444444", marker="|", linestyle="none", markersize=pt(3))
