"""One panel of lines: a metric over one setting, with a band on top for cells out of memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator, NullLocator

from lorafa_prof.figures.kit.capacities import Capacity, capacities_near
from lorafa_prof.figures.kit.marked import draw_rings
from lorafa_prof.figures.kit.page import text_width
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.series import Series, SeriesStyle
from lorafa_prof.figures.kit.style import GREY, VERMILION, pt
from lorafa_prof.words.scales import Scale, bytes_scale

LINE, MARKER = 1.1, 3.8
"""Points of a line's width and a marker's size, before its style's weight."""

_OOM_ROW = 0.09
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
    """

    cells: frozenset[str]
    metric: Metric
    axis: str
    axis_label: str
    ticks: tuple[float, ...]
    series: tuple[Series, ...]
    plot_height: float
    steps: bool = False

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
        rows = len(self.out_of_memory)
        return rows * _OOM_ROW + 0.04 if rows else 0.0

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
        return f"{self.metric.label} ({self.scale.unit})" if self._largest else self.metric.label

    @property
    def _top(self) -> float:
        highest = max([self._largest, *(capacity.size_bytes for capacity in self.capacities)])
        return 1.06 * highest / self.scale.divisor or 1.0

    def tick_labels(self) -> dict[float, str]:
        """Ticks of the vertical axis, below the band, and their labels."""
        if not self._largest:
            return {}
        places = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, self._top)
        return {float(place): f"{place:,g}" for place in places if 0 <= place <= self._top}

    def labels_width(self, drawing: Drawing) -> float:
        """Inches the labels left of the axis take, "OOM" among them."""
        texts = [*self.tick_labels().values(), *(["OOM"] if self._band else [])]
        return max((text_width(drawing, text) for text in texts), default=0.0) + 0.08

    def names_width(self, drawing: Drawing) -> float:
        """Inches the names of GPUs right of the axis take."""
        return max((text_width(drawing, name.label) + 0.04 for name in self.capacities), default=0.0)

    def draw(self, drawing: Drawing, axes: Axes, width: float) -> None:
        """Draw on `axes`, which will be `width` inches wide and `height` high."""
        labels = self.tick_labels()
        axes.set_ylim(0, self._top * self.height / self.plot_height)
        axes.set_yticks(list(labels), list(labels.values()))
        axes.grid(axis="y")
        axes.set_title(self.title, loc="left")
        axes.set_xlabel(self.axis_label)
        self._set_horizontal(drawing, axes, width)
        for capacity in self.capacities:
            self._draw_capacity(axes, capacity)
        for line in self.series:
            self._draw_line(axes, line)
            self._draw_marked(axes, line)
        if self._band:
            self._draw_band(axes)

    def _points(self, line: Series) -> list[Point]:
        return line.of(self.cells, self.axis)

    def _value(self, point: Point) -> float:
        """NaN where there is no value: a line breaks there and joins nothing across it."""
        value = point.value(self.metric.column)
        return math.nan if value is None else value

    def _set_horizontal(self, drawing: Drawing, axes: Axes, width: float) -> None:
        low, high = self.ticks[0], self.ticks[-1]
        logarithmic = low > 0 and high / low >= _LOG_FROM
        places = [math.log2(tick) if logarithmic else tick for tick in self.ticks]
        pad = 0.07 * (places[-1] - places[0]) or 0.5 * abs(places[0]) or 1.0
        left, right = places[0] - pad, places[-1] + pad
        if logarithmic:
            axes.set_xscale("log", base=2)
            axes.set_xlim(2**left, 2**right)
        else:
            axes.set_xlim(left, right)
        every = math.ceil(len(self.ticks) / _MOST_TICKS)
        ticks = self.ticks[::every]
        inches = [(place - left) / (right - left) * width for place in places[::every]]
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(list(ticks), _thinned(drawing, ticks, inches))

    def _draw_capacity(self, axes: Axes, capacity: Capacity) -> None:
        level = capacity.size_bytes / self.scale.divisor
        axes.axhline(
            level,
            color=GREY,
            linewidth=pt(0.6),
            zorder=1,
            gid=f"capacity:{self.metric.column}:{capacity.card}",
        )
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
        bottom = self.plot_height / self.height
        axes.axhspan(self._top, axes.get_ylim()[1], color="#F2F2F2", zorder=0)
        axes.annotate(
            "OOM",
            (0, (1 + bottom) / 2),
            xycoords="axes fraction",
            xytext=(pt(-3.5), 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=VERMILION,
        )
        for row, line in enumerate(self.out_of_memory):
            level = (self.plot_height + 0.02 + (row + 0.5) * _OOM_ROW) / self.height * axes.get_ylim()[1]
            failed = [point for point in self._points(line) if point.status == "oom"]
            if line.reference:
                axes.axhline(level, color=line.style.color, linestyle=line.style.dash, linewidth=pt(0.8))
                axes.plot([0.5], [level], transform=across, gid=_oom_name(self, failed), **_cross(line.style))
            else:
                places = [_place(point, self.axis) for point in failed]
                axes.plot(places, [level] * len(failed), gid=_oom_name(self, failed), **_cross(line.style))


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


def _cross(style: SeriesStyle) -> dict[str, Any]:
    return {
        "marker": "x",
        "linestyle": "none",
        "color": style.color,
        "markersize": pt(4),
        "markeredgewidth": pt(1.2),
    }
