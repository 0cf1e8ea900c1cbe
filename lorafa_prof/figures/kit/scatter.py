"""One panel of points: a number of each cell over another, in its method's colour and marker."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.beside import Place, places_beside
from lorafa_prof.figures.kit.marked import draw_rings
from lorafa_prof.figures.kit.oom_band import band_height, cross, draw_band, row_height
from lorafa_prof.figures.kit.page import line_height, text_width
from lorafa_prof.figures.kit.style import GREY, Look, method_order, pt
from lorafa_prof.figures.kit.wishes import axis_wish, said

_MARKER = 3.8
_MOST_TICKS = 6


@dataclass(frozen=True)
class Mark:
    """A point, in the units of its axes; with `doubts`, marks that speak against it, it is ringed.

    `span` is an interval that `y` lies in; `name` stands beside the point where there is room for it.
    """

    method: str
    x: float
    y: float
    doubts: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    name: str = ""


@dataclass(frozen=True)
class Axis:
    """What an axis shows: `label` with its unit, how a number is written, and whether it is logarithmic.

    A logarithmic axis takes numbers above 0. `places` are those of its ticks, if they are not any; `ends` are
    where it begins and ends, if that is not up to its values.
    """

    label: str
    text: Callable[[float], str]
    logarithmic: bool = False
    places: tuple[float, ...] = ()
    ends: tuple[float, float] | None = None

    def as_wished(self, name: str) -> Axis:
        """This axis as whoever draws the figure wants its axis ``x`` or ``y``."""
        wish = axis_wish(name)
        logarithmic = self.logarithmic if wish.logarithmic is None else wish.logarithmic
        return replace(self, label=said(self.label), logarithmic=logarithmic, ends=wish.limits or self.ends)

    def limits(self, values: Sequence[float]) -> tuple[float, float]:
        """Around the values, with some room.

        Raises:
            NoDataError: it is logarithmic, and one of the values is not above 0.
        """
        if self.logarithmic and min(values) <= 0:
            raise NoDataError(f"a logarithmic axis has no place for {min(values):g}: {self.label}")
        if self.ends is not None:
            return self.ends
        places = [math.log10(value) if self.logarithmic else value for value in values]
        low, high = min(places), max(places)
        pad = 0.08 * (high - low) or (0.3 if self.logarithmic else 0.1 * abs(low) or 1.0)
        ends = low - pad, high + pad
        return (math.pow(10, ends[0]), math.pow(10, ends[1])) if self.logarithmic else ends

    def share(self, value: float, limits: tuple[float, float]) -> float:
        """How far along an axis with these limits a value is; 1 at its end."""
        low, place, high = (
            math.log10(each) if self.logarithmic else each for each in (limits[0], value, limits[1])
        )
        return (place - low) / (high - low)

    def beyond(self, low: float, high: float, times: float) -> float:
        """The upper limit of an axis that is `times` as long as one from `low` to `high`."""
        if self.logarithmic:
            return low * math.pow(high / low, times)
        return low + (high - low) * times

    def ticks(self, low: float, high: float) -> dict[float, str]:
        """Places of ticks between two limits, and their labels."""
        if self.places:
            return {place: self.text(place) for place in self.places if low <= place <= high}
        places = _decades(low, high) if self.logarithmic else []
        if len(places) < 2:
            locator = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10])
            places = [float(place) for place in locator.tick_values(low, high)]
        return {place: self.text(place) for place in places if low <= place <= high}

    def thinned(
        self, drawing: Drawing, ticks: Mapping[float, str], limits: tuple[float, float], width: float
    ) -> list[str]:
        """The labels of a horizontal axis `width` inches wide, empty where one would touch the one before."""
        texts, free_from = [], -math.inf
        for tick, text in ticks.items():
            inches = self.share(tick, limits) * width
            half = text_width(drawing, text) / 2
            touches = inches - half < free_from
            texts.append("" if touches else text)
            free_from = free_from if touches else inches + half + 0.04
        return texts


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten between two limits, with 2 and 5 times these where there are few, fewer where many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        places = [factor * 10.0**power for power in powers for factor in factors]
        within = [place for place in places if low <= place <= high]
        if len(within) <= _MOST_TICKS:
            return within
    return within[:: math.ceil(len(within) / _MOST_TICKS)]


@dataclass(frozen=True)
class ScatterPanel:
    """What one panel shows.

    Args:
        key: names it among the panels of its row.
        marks: its points, one at least.
        x, y: its axes; the label of `y` stands above the panel.
        look: of every method of the figure.
        plot_height: inches without the band of cells out of memory.
        front: places joined by steps behind the points, ascending.
        failed: places on the horizontal axis of cells out of memory, by method.
        diagonal: whether to draw the line where both axes are equal.
        level: whether to draw the line where the vertical axis is 0.
    """

    key: str
    marks: Sequence[Mark]
    x: Axis
    y: Axis
    look: Mapping[str, Look]
    plot_height: float
    front: Sequence[tuple[float, float]] = ()
    failed: Sequence[tuple[str, float]] = ()
    diagonal: bool = False
    level: bool = False

    @property
    def height(self) -> float:
        """Inches."""
        return self.plot_height + self._band

    @property
    def _band(self) -> float:
        return band_height(len({method for method, _ in self.failed}))

    @cached_property
    def _x(self) -> Axis:
        return self.x.as_wished("x")

    @cached_property
    def _y(self) -> Axis:
        return self.y if self.level else self.y.as_wished("y")

    @cached_property
    def _x_limits(self) -> tuple[float, float]:
        return self._x.limits([*(mark.x for mark in self.marks), *(place for _, place in self.failed)])

    @cached_property
    def _y_limits(self) -> tuple[float, float]:
        values = [end for mark in self.marks for end in (mark.y, *(mark.span or ()))]
        low, high = self._y.limits([*values, 0.0] if self.level else values)
        return low, self._y.beyond(low, high, self.height / self.plot_height)

    @cached_property
    def _upright(self) -> dict[float, str]:
        low, high = self._y_limits
        return self._y.ticks(low, self._y.beyond(low, high, self.plot_height / self.height))

    def labels_width(self, drawing: Drawing) -> float:
        """Inches that labels take left of the axes."""
        texts = [*self._upright.values(), *(["OOM"] if self.failed else [])]
        return max((text_width(drawing, text) for text in texts), default=0.0) + 0.08

    def names_width(self, drawing: Drawing) -> float:
        """Nothing stands right of the axes."""
        del drawing
        return 0.0

    def draw(self, drawing: Drawing, axes: Axes, width: float) -> None:
        """Draw on `axes`, which will be `width` inches wide and `height` high."""
        if self._x.logarithmic:
            axes.set_xscale("log")
        if self._y.logarithmic:
            axes.set_yscale("log")
        axes.set_title(self._y.label, loc="left")
        axes.set_xlabel(self._x.label)
        axes.grid()
        self._draw_lines(axes)
        for method in sorted({mark.method for mark in self.marks}, key=method_order):
            self._draw_method(axes, method, self.look[method])
        axes.set_xlim(self._x_limits)
        axes.set_ylim(self._y_limits)
        self._set_ticks(drawing, axes, width)
        if self.failed:
            self._draw_band(axes)
        self._draw_names(drawing, axes, width)

    def _draw_names(self, drawing: Drawing, axes: Axes, width: float) -> None:
        def place(x: float, y: float) -> Place:
            across = self._x.share(x, self._x_limits) * width
            return across, self._y.share(y, self._y_limits) * self.height

        named = [mark for mark in self.marks if mark.name]
        places = places_beside(
            [(place(mark.x, mark.y), text_width(drawing, mark.name)) for mark in named],
            [place(mark.x, mark.y) for mark in self.marks],
            [place(*corner) for corner in self.front],
            line_height(),
            width,
            self.plot_height,
        )
        for mark, found in zip(named, places, strict=True):
            if found is not None:
                across, up = found
                axes.annotate(
                    mark.name,
                    (across / width, up / self.height),
                    xycoords="axes fraction",
                    va="center_baseline",
                    gid=f"name:{self.key}",
                )

    def _draw_lines(self, axes: Axes) -> None:
        if self.front:
            xs, ys = zip(*self.front, strict=True)
            axes.plot(xs, ys, drawstyle="steps-post", color=GREY, linewidth=pt(0.8), gid=f"front:{self.key}")
        if self.diagonal:
            axes.axline((1, 1), (2, 2), color=GREY, linewidth=pt(0.8), gid=f"equal:{self.key}")
        if self.level:
            axes.axhline(0, color=GREY, linewidth=pt(0.8), gid=f"equal:{self.key}")

    def _draw_method(self, axes: Axes, method: str, look: Look) -> None:
        own = [mark for mark in self.marks if mark.method == method]
        spans = [(mark.x, *mark.span) for mark in own if mark.span]
        if spans:
            xs, lows, highs = zip(*spans, strict=True)
            drawn = axes.vlines(xs, lows, highs, color=look.color, linewidth=pt(0.7))
            drawn.set_gid(f"spans:{self.key}:{method}")
        axes.plot(
            [mark.x for mark in own],
            [mark.y for mark in own],
            linestyle="none",
            marker=look.marker,
            markersize=_size(method, self.look),
            markerfacecolor=look.color,
            markeredgecolor="white",
            markeredgewidth=pt(0.3),
            gid=f"marks:{self.key}:{method}",
        )
        ringed = [(mark.x, mark.y) for mark in own if mark.doubts]
        draw_rings(axes, ringed, _size(method, self.look), look.color, f"marked:{self.key}:{method}")

    def _draw_band(self, axes: Axes) -> None:
        """Crosses above the data, a line of them for each method."""
        bottom = self.plot_height / self.height
        low, high = self._y_limits
        draw_band(axes, self._y.beyond(low, high, bottom), high, bottom)
        methods = sorted({method for method, _ in self.failed}, key=method_order)
        for row, method in enumerate(methods):
            places = [place for name, place in self.failed if name == method]
            level = (self.plot_height + row_height(row)) / self.height
            axes.plot(
                places,
                [level] * len(places),
                transform=axes.get_xaxis_transform(),
                gid=f"oom:{self.key}:{method}",
                **cross(self.look[method].color),
            )

    def _set_ticks(self, drawing: Drawing, axes: Axes, width: float) -> None:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.set_yticks(list(self._upright), list(self._upright.values()))
        across = self._x.ticks(*self._x_limits)
        axes.set_xticks(list(across), self._x.thinned(drawing, across, self._x_limits, width))


def _size(method: str, look: Mapping[str, Look]) -> float:
    """Later markers are drawn smaller, so that an equal one under them still shows."""
    rank = sorted(look, key=method_order).index(method)
    return pt(_MARKER * (1.25 - 0.4 * rank / max(len(look) - 1, 1)))


def method_handles(look: Mapping[str, Look]) -> list[Artist]:
    """The legend."""
    return [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=look[method].marker,
            markersize=_size(method, look),
            color=look[method].color,
            label=method,
        )
        for method in sorted(look, key=method_order)
    ]


def plain(value: float) -> str:
    """A tick's number as it is."""
    return f"{value:,.12g}"
