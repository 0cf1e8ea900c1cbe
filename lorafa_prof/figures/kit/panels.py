"""Panels with a vertical axis of their own, side by side in one row under a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from lorafa_prof.figures.kit.page import (
    MARGIN,
    PageFullError,
    Panel,
    PanelRow,
    draw_name,
    line_height,
    text_width,
)

GAP = 0.1
"""Inches between panels side by side."""

_BELOW = 0.38

MOST_ROWS = 6
"""What a page of paper has room for."""


def plot_height(rows: int) -> float:
    """Inches that each of so many rows has between its axes' ends."""
    return 1.25 if rows <= 3 else 0.8


class PlotPanel(Protocol):
    """What a row of panels needs to know of each."""

    @property
    def key(self) -> str:
        """What the panel shows; its axes' label is the row's name and this."""

    @property
    def height(self) -> float:
        """Inches."""

    def labels_width(self, drawing: Drawing) -> float:
        """Inches that labels take left of the axes."""

    def names_width(self, drawing: Drawing) -> float:
        """Inches that names take right of the axes."""

    def draw(self, drawing: Drawing, axes: Axes, width: float) -> None:
        """Draw on `axes`, which will be `width` inches wide and `height` high."""


def panel_row(drawing: Drawing, name: str, panels: Sequence[PlotPanel], room: float) -> PanelRow:
    """Draw panels of equal width, `room` inches in all, margins included; each has a title above it."""
    before = [panel.labels_width(drawing) for panel in panels]
    after = [panel.names_width(drawing) for panel in panels]
    free = room - 2 * MARGIN - 0.05 - sum(before) - sum(after) - GAP * (len(panels) - 1)
    width = free / len(panels)
    left, placed = MARGIN, []
    for panel, labels, names in zip(panels, before, after, strict=True):
        axes = drawing.add_axes((0, 0, 1, 1), label=f"{name}:{panel.key}")
        left += labels
        panel.draw(drawing, axes, width)
        if text_width(drawing, axes.get_title(loc="left")) > width + names + GAP:
            raise PageFullError("a panel is narrower than its title: it needs more width")
        placed.append(Panel(axes, left, width))
        left += width + names + GAP
    above = draw_name(drawing, placed[0], name, room, free=line_height())
    return PanelRow(tuple(placed), max(panel.height for panel in panels), above, _BELOW)
