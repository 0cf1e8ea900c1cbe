"""One panel of lines: a metric over one setting, with a band on top for cells out of memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator, NullLocator

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.capacities import Capacity, capacities_near
from lorafa_prof.figures.kit.end_labels import LEADER, EndLabel, draw_end_labels, fits
from lorafa_prof.figures.kit.marked import draw_rings
from lorafa_prof.figures.kit.oom_band import band_height, cross, draw_band, row_height
from lorafa_prof.figures.kit.page import text_width
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.series import Series
from lorafa_prof.figures.kit.style import GREY, pt
from lorafa_prof.figures.kit.wishes import axis_wish, said
from lorafa_prof.words.scales import Scale, bytes_scale

LINE, MARKER = 1.1, 3.8
"""Points of a line's width and a marker's size, before its style's weight."""

_MOST_TICKS = 40
_NAME_HEIGHT = 0.13
# Memory is a straight line over tokens and rank. A logarithmic axis bends it: only wide sweeps get one.
_LOG_FROM = 16.0


@dataclass(frozen=True)
class Metric:
    """A column, its name in the figure, its unit, and whether GPUs' memory is to be compared with it."""

    column: str
    label: str
    scale: Callable[[float], Scale] = bytes_scale
    capacities: bool = False


@dataclass(frozen=True)
class LinePanel:
    """What one panel shows.

    Args:
        cells: cell_id of each cell that belongs here.
        axis: the setting on the horizontal axis.
        ticks: all values of `axis` in the figure, ascending.
        series: all series of the figure.
        plot_height: inches without the band of cells out of memory.
        steps: a value holds up to the next place on the axis, instead of going straight to the next value.
        logarithmic: the horizontal axis is, however far apart its values are.
        named: the lines' names stand right of the panel, each where its line ends.
    """

    cells: frozenset[str]
    metric: Metric
    axis: str
    axis_label: str
    ticks: tuple[float, ...]
    series: tuple[Series, ...]
    plot_height: float
    steps: bool = False
    logarithmic: bool = False
    named: bool = False

    @property
    def key(self) -> str:
        """The metric's column."""
        return self.metric.column

    @property
    def out_of_memory(self) -> list[Series]:
        """The series with a cell of this panel out of memory; each has a line of the band."""
        return [line for line in self.series if any(point.status == "oom" for point in self._points(line))]

    @property
    def height(self) -> float:
        """Inches, the band included."""
        return self.plot_height + self._band

    @property
    def _band(self) -> float:
        return band_height(len(self.out_of_memory))

    @cached_property
    def _values(self) -> list[float]:
        values = [self._value(point) for line in self.series for point in self._points(line)]
        return [value for value in values if not math.isnan(value)]

    @cached_property
    def _largest(self) -> float:
        return max(self._values, default=0.0)

    @cached_property
    def scale(self) -> Scale:
        """The unit of the vertical axis."""
        return self.metric.scale(self._largest)

    @cached_property
    def capacities(self) -> tuple[Capacity, ...]:
        """GPUs whose memory is a line of this panel."""
        if not (self.metric.capacities and self._values):
            return ()
        return capacities_near(min(self._values), self._largest, _NAME_HEIGHT / self.plot_height)

    @property
    def title(self) -> str:
        """The metric and its unit; no unit where there is no value."""
        label = said(self.metric.label)
        return f"{label} ({self.scale.unit})" if self._largest else label

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The vertical axis below the band, in the unit of its scale."""
        wish = axis_wish("y")
        if wish.logarithmic:
            raise NoDataError("its vertical axis is linear, whatever --axes asks for")
        highest = max([self._largest, *(capacity.size_bytes for capacity in self.capacities)])
        return wish.limits or (0.0, 1.06 * highest / self.scale.divisor or 1.0)

    def _level(self, inches: float) -> float:
        """The value on the vertical axis that is so high above the axes' foot, within the band too."""
        low, high = self._ends
        return low + (high - low) * inches / self.plot_height

    def tick_labels(self) -> dict[float, str]:
        """Ticks of the vertical axis, below the band, and their labels."""
        if not self._largest:
            return {}
        low, high = self._ends
        places = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        return {float(place): f"{place:,g}" for place in places if low <= place <= high}

    def labels_width(self, drawing: Drawing) -> float:
        """Inches the labels left of the axis take, "OOM" among them."""
        texts = [*self.tick_labels().values(), *(["OOM"] if self._band else [])]
        return max((text_width(drawing, text) for text in texts), default=0.0) + 0.08

    def names_width(self, drawing: Drawing) -> float:
        """Inches the names right of the axis take, of GPUs and of lines."""
        if self.named:
            texts = [*(line.label for line in self._shown), *(card.label for card in self.capacities)]
            return max(text_width(drawing, text) for text in texts) + LEADER
        return max((text_width(drawing, card.label) + 0.04 for card in self.capacities), default=0.0)

    def can_be_named(self, drawing: Drawing, most: float) -> bool:
        """Whether names of lines have room right of the panel, in `most` inches and one below the other."""
        texts = [line.label for line in self._shown]
        ends = [self._end(line) for line in self._shown]
        if not texts or None in ends:
            return False
        fitting = fits(
            [*filter(None, ends), *(self._card_end(card) for card in self.capacities)], self.height
        )
        return fitting and max(text_width(drawing, text) for text in texts) + LEADER <= most

    @property
    def _shown(self) -> list[Series]:
        """The series of which this panel has cells."""
        return [line for line in self.series if self._points(line)]

    def draw(self, drawing: Drawing, axes: Axes, width: float) -> None:
        """Draw on `axes`, which will be `width` inches wide and `height` high."""
        labels = self.tick_labels()
        axes.set_ylim(self._ends[0], self._level(self.height))
        axes.set_yticks(list(labels), list(labels.values()))
        axes.grid(axis="y")
        axes.set_title(self.title, loc="left")
        axes.set_xlabel(said(self.axis_label))
        self._set_horizontal(drawing, axes, width)
        for capacity in self.capacities:
            self._draw_capacity(axes, capacity)
        for line in self.series:
            self._draw_line(axes, line)
            self._draw_marked(axes, line)
        if self._band:
            self._draw_band(axes)
        if self.named:
            ends = [end for line in self._shown if (end := self._end(line)) is not None]
            ends += [self._card_end(card) for card in self.capacities]
            draw_end_labels(axes, ends, width, self.height)

    def _end(self, line: Series) -> EndLabel | None:
        """Where a series ends: its last value, or the cross of a cell out of memory; None without either."""
        points = self._points(line)
        known = [point for point in points if not math.isnan(self._value(point))]
        if known:
            low, high = self._ends
            share = (self._value(known[-1]) / self.scale.divisor - low) / (high - low)
            place = 1.0 if line.reference else self._share(_place(known[-1], self.axis))
            return EndLabel(line.label, line.style.color, place, share * self.plot_height)
        if line in self.out_of_memory:
            last = [point for point in points if point.status == "oom"][-1]
            place = 0.5 if line.reference else self._share(_place(last, self.axis))
            height = self.plot_height + row_height(self.out_of_memory.index(line))
            return EndLabel(line.label, line.style.color, place, height)
        return None

    def _card_end(self, card: Capacity) -> EndLabel:
        low, high = self._ends
        share = (card.size_bytes / self.scale.divisor - low) / (high - low)
        return EndLabel(card.label, GREY, 1.0, share * self.plot_height)

    def _points(self, line: Series) -> list[Point]:
        return line.of(self.cells, self.axis)

    def _value(self, point: Point) -> float:
        """NaN where there is no value: a line breaks there and joins nothing across it."""
        value = point.value(self.metric.column)
        return math.nan if value is None else value

    def _set_horizontal(self, drawing: Drawing, axes: Axes, width: float) -> None:
        left, right = self._sides
        if self._logarithmic:
            axes.set_xscale("log", base=2)
        axes.set_xlim(left, right)
        there = [tick for tick in self.ticks if left <= tick <= right]
        ticks = there[:: math.ceil(len(there) / _MOST_TICKS) or 1]
        inches = [self._share(tick) * width for tick in ticks]
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, _thinned(drawing, ticks, inches))

    @cached_property
    def _logarithmic(self) -> bool:
        low, high = self.ticks[0], self.ticks[-1]
        wish = axis_wish("x").logarithmic
        if wish and low <= 0:
            raise NoDataError(f"a logarithmic {self.axis} has no place for {low:g}")
        return (low > 0 and (self.logarithmic or high / low >= _LOG_FROM)) if wish is None else wish

    @cached_property
    def _sides(self) -> tuple[float, float]:
        """Where the horizontal axis begins and ends."""
        if (limits := axis_wish("x").limits) is not None:
            return limits
        low, high = (self._along(tick) for tick in (self.ticks[0], self.ticks[-1]))
        pad = 0.07 * (high - low) or 0.5 * abs(low) or 1.0
        return (2.0 ** (low - pad), 2.0 ** (high + pad)) if self._logarithmic else (low - pad, high + pad)

    def _along(self, value: float) -> float:
        return math.log2(value) if self._logarithmic else value

    def _share(self, value: float) -> float:
        """How far along the horizontal axis a value is; 1 at its end."""
        left, right = (self._along(side) for side in self._sides)
        return (self._along(value) - left) / (right - left)

    def _draw_capacity(self, axes: Axes, capacity: Capacity) -> None:
        level = capacity.size_bytes / self.scale.divisor
        axes.axhline(
            level,
            color=GREY,
            linewidth=pt(0.6),
            zorder=1,
            gid=f"capacity:{self.metric.column}:{capacity.card}",
        )
        if self.named:
            return
        axes.annotate(
            capacity.label,
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(pt(2), 0),
            textcoords="offset points",
            va="center",
            color="#555555",
        )

    def _draw_line(self, axes: Axes, line: Series) -> None:
        points = self._points(line)
        if not points:
            return
        heights = [self._value(point) / self.scale.divisor for point in points]
        name = f"{self.metric.column}:{points[0].cell_id}"
        style = line.style
        if line.reference:
            for height in heights:
                if not math.isnan(height):
                    axes.axhline(
                        height,
                        color=style.color,
                        linestyle=style.dash,
                        linewidth=pt(LINE * style.weight),
                        gid=name,
                    )
            return
        places = [_place(point, self.axis) for point in points]
        axes.plot(
            places,
            heights,
            color=style.color,
            linewidth=pt(LINE * style.weight),
            marker=style.marker,
            markersize=pt(MARKER * style.weight),
            markerfacecolor=style.color if style.filled else "white",
            linestyle=style.dash if joined(points, self.axis) else "none",
            drawstyle="steps-post" if self.steps else "default",
            gid=name,
        )

    def _draw_marked(self, axes: Axes, line: Series) -> None:
        marked = [point for point in self._points(line) if point.against(self.metric.column)]
        places = [
            (0.5 if line.reference else _place(point, self.axis), self._value(point) / self.scale.divisor)
            for point in marked
        ]
        size = pt(MARKER * line.style.weight)
        gids = [f"marked:{self.metric.column}:{point.cell_id}" for point in marked]
        draw_rings(axes, places, size, line.style.color, ",".join(gids), level=line.reference)

    def _draw_band(self, axes: Axes) -> None:
        across = axes.get_yaxis_transform()
        draw_band(axes, self._ends[1], self._level(self.height), self.plot_height / self.height)
        for row, line in enumerate(self.out_of_memory):
            level = self._level(self.plot_height + row_height(row))
            failed = [point for point in self._points(line) if point.status == "oom"]
            if line.reference:
                axes.axhline(level, color=line.style.color, linestyle=line.style.dash, linewidth=pt(0.8))
                axes.plot(
                    [0.5], [level], transform=across, gid=_oom_name(self, failed), **cross(line.style.color)
                )
            else:
                places = [_place(point, self.axis) for point in failed]
                axes.plot(
                    places, [level] * len(failed), gid=_oom_name(self, failed), **cross(line.style.color)
                )


def joined(points: Sequence[Point], axis: str) -> bool:
    """Whether a line may join these cells: not if two share a place, for then an unknown setting differs."""
    return len({point.settings[axis] for point in points}) == len(points)


def _place(point: Point, axis: str) -> float:
    value = point.settings[axis]
    if not isinstance(value, int | float):
        raise TypeError(f"{axis} of {point.cell_id} is no number: {value!r}")
    return float(value)


def _thinned(drawing: Drawing, ticks: Sequence[float], inches: Sequence[float]) -> list[str]:
    """Labels of the ticks, empty where one would touch the label before it."""
    labels, free_from = [], -math.inf
    for tick, place in zip(ticks, inches, strict=True):
        text = f"{tick:.12g}"
        half = text_width(drawing, text) / 2
        if place - half < free_from:
            labels.append("")
            continue
        labels.append(text)
        free_from = place + half + 0.04
    return labels


def _oom_name(panel: LinePanel, failed: Sequence[Point]) -> str:
    return f"oom:{panel.metric.column}:{failed[0].cell_id}"
