"""How metrics moved over commits or runs, as `lorafa-prof history` draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lorafa_prof.figures.kit.line_panel import LINE, MARKER
from lorafa_prof.figures.kit.page import (
    MARGIN,
    Panel,
    PanelRow,
    assemble,
    column_width,
    new_drawing,
    text_width,
)
from lorafa_prof.figures.kit.style import DASHES, Dash, pt, style
from lorafa_prof.history.history import History, Series, changes_of, moved
from lorafa_prof.history.text import title_of
from lorafa_prof.words.phrases import count

TITLE = "What moved, in percent of its first value"

#: Of cells, and told apart by the colour-blind (Paul Tol's "muted"): other figures have others, for methods.
_COLORS = ("#332288", "#44AA99", "#CC6677", "#999933", "#882255", "#117733")
_MOST_TICKS = 12
_LONGEST_NAME = 12
#: Inches of a panel, above it and below it: where the next one follows, and where the names stand.
_HEIGHT, _ABOVE, _BETWEEN, _BELOW = 1.0, 0.2, 0.1, 0.72


class _Look(NamedTuple):
    """Colour and line style of a cell, in all panels."""

    color: str
    dash: Dash


@style()
def draw_history(history: History) -> Drawing | None:
    """A panel for each metric of which a value moved, with a line for each cell in which it did.

    Of more cells than can be told apart those that moved the furthest; a note has the number of the others.
    None where nothing moved.
    """
    shown = moved(changes_of(history))
    cells = list(dict.fromkeys(cell for cell, _ in shown))
    if not cells:
        return None
    looks = {cell: _Look(*look) for cell, look in zip(cells, zip(_COLORS, cycle(DASHES)), strict=False)}
    drawing = new_drawing()
    metrics = list(dict.fromkeys(metric for cell, metric in shown if cell in looks))
    panels = []
    for metric in metrics:
        drawn = [series for series in shown if series[1] == metric and series[0] in looks]
        axes = drawing.add_axes((0, 0, 1, 1), label=f"history:{metric}")
        panels.append((axes, _draw(drawing, axes, history, {each: looks[each[0]] for each in drawn})))
        _name_moments(axes, history, named=metric == metrics[-1])
    left = max(room for _, room in panels)
    width = column_width(1) - left - MARGIN
    rows = [
        PanelRow(
            (Panel(axes, left, width),), _HEIGHT, _ABOVE, _BETWEEN if axes is not panels[-1][0] else _BELOW
        )
        for axes, _ in panels
    ]
    handles = [_line(look, label=history.labels[cell]) for cell, look in looks.items()]
    others = len({cell for cell, _ in history.series}) - len(looks)
    notes = [f"{count(others, 'other cell')} moved less, or not at all."] if others else []
    assemble(drawing, title=TITLE, subtitle=title_of(history), rows=rows, handles=handles, notes=notes)
    return drawing


def _draw(drawing: Drawing, axes: Axes, history: History, looks: Mapping[Series, _Look]) -> float:
    """Draw the lines of one metric; returns the inches that labels take left of them."""
    (metric,) = {metric for _, metric in looks}
    lines = {series: _shares(history, series) for series in looks}
    for series, shares in lines.items():
        axes.add_line(_line(looks[series], range(len(shares)), shares, gid=f"{metric}:{series[0]}"))
    known = [share for shares in lines.values() for share in shares if not math.isnan(share)]
    return _dress(drawing, axes, metric, min(known), max(known))


def _line(look: _Look, x: Sequence[float] = (), y: Sequence[float] = (), **named: str) -> Line2D:
    return Line2D(
        x,
        y,
        color=look.color,
        linestyle=look.dash,
        linewidth=pt(LINE),
        marker="o",
        markersize=pt(MARKER * 0.6),
        drawstyle="steps-post",
        **named,  # type: ignore[arg-type]
    )


def _shares(history: History, series: Series) -> list[float]:
    """Return the values in percent of the first one that is not 0; NaN where there is none."""
    values = history.values(series)
    first = next((value for value in values if value), 1)
    return [math.nan if value is None else 100 * value / first for value in values]


def _dress(drawing: Drawing, axes: Axes, metric: str, lowest: float, highest: float) -> float:
    """Dress the axes; returns the inches that labels take left of them."""
    room = 0.08 * (highest - lowest) or 1.0
    low, high = lowest - room, highest + room
    ticks = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    places = [float(tick) for tick in ticks if low <= tick <= high]
    labels = [f"{place:,.7g} %" for place in places]
    axes.set_ylim(low, high)
    axes.set_yticks(places, labels)
    axes.set_title(metric, loc="left")
    axes.grid(axis="y")
    return MARGIN + 0.08 + max((text_width(drawing, label) for label in labels), default=0.0)


def _name_moments(axes: Axes, history: History, *, named: bool) -> None:
    last = len(history.moments) - 1
    axes.set_xlim(-0.03 * last, 1.03 * last)
    ticks = range(0, last + 1, math.ceil((last + 1) / _MOST_TICKS))
    names = [history.moments[at].name[:_LONGEST_NAME] if named else "" for at in ticks]
    axes.set_xticks(list(ticks), names, rotation=45, ha="right")
