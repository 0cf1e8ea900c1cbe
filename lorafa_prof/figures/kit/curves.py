"""One panel of curves over a number, each with what it spreads over: a band, or bars at its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from matplotlib.transforms import offset_copy

from lorafa_prof.figures.kit.page import text_width
from lorafa_prof.figures.kit.scatter import Axis
from lorafa_prof.figures.kit.series import SeriesStyle
from lorafa_prof.figures.kit.style import pt

_LINE, _MARKER = 1.1, 3.8
#: Of a band's colour so much is seen.
_BAND = 0.15
#: Points between the bars of two curves at one place.
_APART = 2.5


@dataclass(frozen=True)
class Place:
    """A point of a curve; `low` and `high` are what it spreads over, both `y` where that is not known."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A line.

    Attributes:
        name: tells it from the others of its panel.
        places: in the order of `x`; of a level one alone.
        level: it has no value on the horizontal axis, so it is a line across.
        marked: its points are markers, with bars for what they spread over; else it is a band.
    """

    name: str
    style: SeriesStyle
    places: tuple[Place, ...]
    level: bool = False
    marked: bool = True


@dataclass(frozen=True)
class CurvePanel:
    """What one panel shows: curves, one at least; the label of `y` stands above the panel."""

    key: str
    curves: Sequence[Curve]
    x: Axis
    y: Axis
    plot_height: float

    @property
    def height(self) -> float:
        """Inches."""
        return self.plot_height

    @cached_property
    def _x(self) -> Axis:
        return self.x.as_wished("x")

    @cached_property
    def _y(self) -> Axis:
        return self.y.as_wished("y")

    @cached_property
    def _x_limits(self) -> tuple[float, float]:
        values = [place.x for curve in self.curves if not curve.level for place in curve.places]
        return self._x.limits([*values, *self._x.places])

    @cached_property
    def _y_limits(self) -> tuple[float, float]:
        places = [place for curve in self.curves for place in curve.places]
        return self._y.limits([end for place in places for end in (place.y, place.low, place.high)])

    def labels_width(self, drawing: Drawing) -> float:
        """Inches that labels take left of the axes."""
        texts = self._y.ticks(*self._y_limits).values()
        return max((text_width(drawing, text) for text in texts), default=0.0) + 0.08

    def names_width(self, drawing: Drawing) -> float:
        """Nothing stands right of the axes."""
        del drawing
        return 0.0

    def draw(self, drawing: Drawing, axes: Axes, width: float) -> None:
        """Draw on `axes`, which will be `width` inches wide and `height` high."""
        if self._x.logarithmic:
            axes.set_xscale("log")
        axes.set_title(self._y.label, loc="left")
        axes.set_xlabel(self._x.label)
        axes.grid(axis="y")
        marked = [curve.name for curve in self.curves if curve.marked and not curve.level]
        for curve in self.curves:
            if curve.level:
                self._draw_level(axes, curve)
            elif curve.marked:
                self._draw_marked(drawing, axes, curve, marked.index(curve.name) - (len(marked) - 1) / 2)
            else:
                self._draw_banded(axes, curve)
        axes.set_xlim(self._x_limits)
        axes.set_ylim(self._y_limits)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        upright, across = self._y.ticks(*self._y_limits), self._x.ticks(*self._x_limits)
        axes.set_yticks(list(upright), list(upright.values()))
        axes.set_xticks(list(across), self._x.thinned(drawing, across, self._x_limits, width))

    def _draw_banded(self, axes: Axes, curve: Curve) -> None:
        xs, ys, lows, highs = _columns(curve)
        style = curve.style
        axes.fill_between(xs, lows, highs, color=style.color, alpha=_BAND, linewidth=0)
        axes.plot(
            xs,
            ys,
            color=style.color,
            linestyle=style.dash,
            linewidth=pt(_LINE * style.weight),
            gid=f"curve:{self.key}:{curve.name}",
        )

    def _draw_marked(self, drawing: Drawing, axes: Axes, curve: Curve, shift: float) -> None:
        """Draw it `shift` bars beside its places, where those of others would lie over its own."""
        xs, ys, lows, highs = _columns(curve)
        style = curve.style
        beside = offset_copy(axes.transData, drawing, shift * pt(_APART), units="points")
        bars = axes.vlines(xs, lows, highs, color=style.color, linewidth=pt(0.7), transform=beside)
        bars.set_gid(f"spans:{self.key}:{curve.name}")
        axes.plot(
            xs,
            ys,
            color=style.color,
            linestyle=style.dash,
            linewidth=pt(_LINE * style.weight),
            marker=style.marker,
            markersize=pt(_MARKER * style.weight),
            markerfacecolor=style.color if style.filled else "white",
            transform=beside,
            gid=f"curve:{self.key}:{curve.name}",
        )

    def _draw_level(self, axes: Axes, curve: Curve) -> None:
        (place,) = curve.places
        style = curve.style
        axes.axhspan(place.low, place.high, color=style.color, alpha=_BAND / 2, linewidth=0)
        axes.axhline(
            place.y,
            color=style.color,
            linestyle=style.dash,
            linewidth=pt(_LINE * style.weight),
            gid=f"level:{self.key}:{curve.name}",
        )


def _columns(curve: Curve) -> tuple[list[float], ...]:
    return tuple([getattr(place, name) for place in curve.places] for name in ("x", "y", "low", "high"))


def curve_handle(curve: Curve, label: str) -> Line2D:
    """Its entry in a legend."""
    style = curve.style
    return Line2D(
        [],
        [],
        color=style.color,
        linestyle=style.dash,
        linewidth=pt(_LINE * style.weight),
        marker="" if curve.level or not curve.marked else style.marker,
        markersize=pt(_MARKER * style.weight),
        markerfacecolor=style.color if style.filled else "white",
        label=label,
    )
