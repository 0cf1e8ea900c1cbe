"""Horizontal bars, one per cell: a panel per model, cells of the same context under one heading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.bar import VALUE_GAP, Bar, draw_bar, value_text
from lorafa_prof.figures.kit.marked import hatches_note
from lorafa_prof.figures.kit.page import (
    MARGIN,
    Panel,
    PanelRow,
    assemble,
    column_width,
    draw_name,
    line_height,
    new_drawing,
    text_width,
    wrap,
)
from lorafa_prof.figures.kit.points import (
    CONTEXT_SETTINGS,
    METHOD_SETTINGS,
    Point,
    differing,
    fixed,
    left_out,
    named,
    phrases,
)
from lorafa_prof.figures.kit.style import BLACK, pt
from lorafa_prof.figures.kit.wishes import axis_wish, said
from lorafa_prof.words.scales import Scale

_LABEL_WIDTH = 1.5
_TICKS_BELOW = 0.38
# What a model's panel takes beside its bars, in lines.
_PANEL_LINES = 4

MOST_BARS = 60
"""What a page of paper has room for, in lines: bars, their labels' further lines, headings, panels' axes."""


@dataclass(frozen=True)
class _Line:
    """One line of a panel: a heading (no point), or a cell with its label."""

    text: tuple[str, ...]
    point: Point | None = None

    @property
    def height(self) -> float:
        """Inches."""
        return line_height() * len(self.text) + 0.03


@dataclass(frozen=True)
class BarChart:
    """A whole figure of bars.

    Args:
        title: what it shows.
        quantity: what the horizontal axis shows; its unit is added.
        scale: picks the unit by the largest value of a panel.
        handles: entries of the legend.
        notes: lines under the figure.
    """

    title: str
    quantity: str
    scale: Callable[[float], Scale]
    handles: Sequence[Artist] = ()
    notes: Sequence[str] = ()

    def draw(self, points: Sequence[Point], bars: Mapping[str, Bar]) -> Drawing:
        """Draw the points: each one's bar (by cell_id), or in words why it has none.

        Where there are more than a page has room for, those with a bar go first, and a note counts the rest.
        """
        drawing = new_drawing()
        shown = _shown(drawing, points, bars)
        models = {model: list(group) for model, group in groupby(shown, lambda point: point.model)}
        room = column_width(len(models))
        panels = {model: _lines(drawing, cells, points, room) for model, cells in models.items()}
        labels = [text for lines in panels.values() for line in lines if line.point for text in line.text]
        doubts = [bars[point.cell_id].doubts for point in shown if point.cell_id in bars]
        left = MARGIN + 0.06 + max(text_width(drawing, text) for text in labels)
        assemble(
            drawing,
            title=self.title,
            shared=fixed(points),
            rows=[self._panel(drawing, model, lines, bars, left, room) for model, lines in panels.items()],
            handles=self.handles,
            notes=[*self.notes, *hatches_note(doubts), *left_out(len(points) - len(shown), len(points))],
        )
        return drawing

    def _panel(
        self,
        drawing: Drawing,
        model: str,
        lines: list[_Line],
        bars: Mapping[str, Bar],
        left: float,
        room: float,
    ) -> PanelRow:
        axes = drawing.add_axes((0, 0, 1, 1), label=model)
        width = room - MARGIN - left
        cells = [line.point for line in lines if line.point]
        ends = [bars[point.cell_id].end for point in cells if point.cell_id in bars]
        longest = max(ends, default=0.0)
        scale = self.scale(longest)
        wish = axis_wish("x")
        if wish.logarithmic or (wish.limits and wish.limits[0]):
            raise NoDataError("bars start at 0 and are linear: write for example --axes x=0:80")
        texts = [value_text(point, bars[point.cell_id], scale) for point in cells if point.cell_id in bars]
        beside = max((text_width(drawing, text) for text in texts), default=0.0) + 2 * VALUE_GAP
        # Room for the number behind the longest bar, whatever the bar's length.
        furthest = (longest / scale.divisor or 1.0) * width / max(width - beside, width / 4)
        axes.set_xlim(0, wish.limits[1] if wish.limits else furthest)
        _draw_lines(axes, lines, bars, scale)
        dress_bars(drawing, axes, width)
        if ends:
            axes.set_xlabel(f"{said(self.quantity)} ({scale.unit})")
        else:
            axes.set_xticks([])
        panel = Panel(axes, left, width)
        above = draw_name(drawing, panel, said(model), room)
        below = _TICKS_BELOW if ends else 0.08
        return PanelRow((panel,), sum(line.height for line in lines), above, below)


def _shown(drawing: Drawing, points: Sequence[Point], bars: Mapping[str, Bar]) -> list[Point]:
    """As many as there is room for, in their order."""
    context, own = differing(points, CONTEXT_SETTINGS), differing(points, METHOD_SETTINGS)
    seen: set[tuple[str, ...]] = set()
    chosen: set[str] = set()
    lines = 0
    for point in sorted(points, key=lambda point: point.cell_id not in bars):
        panel, heading = (point.model,), (point.model, phrases(point, context))
        label = wrap(drawing, named(point, own), _LABEL_WIDTH)
        lines += len(label) + (heading not in seen) + _PANEL_LINES * (panel not in seen)
        if chosen and lines > MOST_BARS:
            break
        seen |= {panel, heading}
        chosen.add(point.cell_id)
    return [point for point in points if point.cell_id in chosen]


def _draw_lines(axes: Axes, lines: Sequence[_Line], bars: Mapping[str, Bar], scale: Scale) -> None:
    """Top to bottom, in inches of height, so that the panel's size does not change the bars'."""
    ticks, labels, depth = [], [], 0.0
    axes.set_ylim(sum(line.height for line in lines), 0)
    for line in lines:
        middle = depth + line.height / 2
        if line.point is None:
            _draw_heading(axes, middle, line.text[0])
        else:
            ticks.append(middle)
            labels.append("\n".join(line.text))
            draw_bar(axes, middle, line.point, bars.get(line.point.cell_id), scale)
        depth += line.height
    axes.set_yticks(ticks, labels, linespacing=1.05)


def _draw_heading(axes: Axes, middle: float, text: str) -> None:
    axes.annotate(
        text,
        (0, middle),
        xycoords=("axes fraction", "data"),
        xytext=(pt(2), 0),
        textcoords="offset points",
        va="center_baseline",
        style="italic",
    )


def dress_bars(drawing: Drawing, axes: Axes, width: float) -> None:
    """Give axes of horizontal bars, `width` inches wide, their ticks and lines."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=BLACK, linewidth=pt(0.6))
    axes.grid(axis="x")
    right = axes.get_xlim()[1]
    ticks = {float(place): f"{place:,.12g}" for place in MaxNLocator(5).tick_values(0.0, right) if place >= 0}
    # The last label is centred on its tick and must not stand out over the page's edge.
    shown = {
        place: text
        for place, text in ticks.items()
        if place <= right and place / right * width + text_width(drawing, text) / 2 <= width + MARGIN / 2
    }
    axes.set_xticks(list(shown), list(shown.values()))


def _lines(drawing: Drawing, panel: list[Point], everything: Sequence[Point], room: float) -> list[_Line]:
    context, own = differing(everything, CONTEXT_SETTINGS), differing(everything, METHOD_SETTINGS)
    lines: list[_Line] = []
    for heading, group in groupby(panel, lambda point: phrases(point, context)):
        members = list(group)
        if heading:
            texts = wrap(drawing, heading, room - _LABEL_WIDTH - 0.3)
            lines.extend(_Line((text,)) for text in texts)
        for text, point in zip(_labels(members, own), members, strict=True):
            lines.append(_Line(tuple(wrap(drawing, text, _LABEL_WIDTH)), point))
    return lines


def _labels(points: Sequence[Point], own: Sequence[str]) -> list[str]:
    """A label for each point; where the table's settings do not tell two apart, the cell's digest does."""
    texts = [named(point, own) for point in points]
    counts = Counter(texts)
    return [
        f"{text} [{point.cell_id[-6:]}]" if counts[text] > 1 else text
        for text, point in zip(texts, points, strict=True)
    ]
