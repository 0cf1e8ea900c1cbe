"""Lines over one setting: a row of panels per model (and context, if lines are many), a panel per metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from pandas import DataFrame

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.line_panel import LINE, MARKER, LinePanel, Metric, joined
from lorafa_prof.figures.page import MARGIN, Panel, PanelRow, assemble, draw_name, line_height, new_drawing
from lorafa_prof.figures.points import CONTEXT_SETTINGS, Point, fixed, phrases, points_of, varying
from lorafa_prof.figures.series import Series, series_of
from lorafa_prof.figures.style import WIDTH, style

_TITLE_SIZE = 6.5
_GAP = 0.1
_BELOW = 0.36
_MOST_LINES = 12

MEMORY = (Metric("peak_allocated_bytes", "peak allocated"), Metric("activation_bytes", "activations"))
"""What both memory sweeps show."""


@dataclass(frozen=True)
class LineChart:
    """A whole figure: memory over the setting `axis` (``seq`` or ``rank``)."""

    title: str
    axis: str
    axis_label: str

    @style()
    def draw(self, table: DataFrame) -> Drawing:
        """Join the cells that differ in nothing but `axis`, and only those.

        Cells out of memory are crosses in a band above the data. Methods without a value on the axis are
        horizontal dashed lines. A line breaks where a value is missing.

        Raises:
            NoDataError: no cell has a value on the axis, or none that finished has a metric.
        """
        points = points_of(table)
        ticks = sorted(
            {float(value) for point in points if isinstance(value := point.settings[self.axis], int | float)}
        )
        if not ticks:
            raise NoDataError(f"no cell has a {self.axis}")
        metrics = [
            metric for metric in MEMORY if any(point.value(metric.column) is not None for point in points)
        ]
        if not metrics:
            raise NoDataError(f"no finished cell has {' or '.join(metric.column for metric in MEMORY)}")
        apart = _apart(points, self.axis)
        series = tuple(series_of(points, self.axis, apart))
        rows = _rows(points, apart)
        drawing = new_drawing()
        placed = []
        for name, cells in rows.items():
            panels = [
                LinePanel(frozenset(cells), metric, self.axis, self.axis_label, tuple(ticks), series)
                for metric in metrics
            ]
            placed.append(_row(drawing, name, panels))
        assemble(
            drawing,
            title=self.title,
            subtitle=fixed(points),
            rows=placed,
            handles=[_handle(line) for line in series],
            notes=_notes(points, series, rows, metrics, self.axis),
        )
        return drawing


def _apart(points: Sequence[Point], axis: str) -> list[str]:
    """The settings by which panels are split, each in rows of its own; none while lines are few."""
    if len(series_of(points, axis)) <= _MOST_LINES:
        return []
    return [name for name in varying(points) if name in CONTEXT_SETTINGS and name != axis]


def _rows(points: Sequence[Point], apart: Sequence[str]) -> dict[str, list[str]]:
    """The cell_ids of each row of panels, by the row's name."""
    rows: dict[str, list[str]] = {}
    for point in points:
        name = ", ".join(filter(None, (point.model, phrases(point, apart))))
        rows.setdefault(name, []).append(point.cell_id)
    return rows


def _row(drawing: Drawing, name: str, panels: Sequence[LinePanel]) -> PanelRow:
    margins = [panel.labels_width(drawing) for panel in panels]
    width = (WIDTH - 2 * MARGIN - 0.05 - sum(margins) - _GAP * (len(panels) - 1)) / len(panels)
    left, placed = MARGIN, []
    for panel, margin in zip(panels, margins, strict=True):
        axes = drawing.add_axes((0, 0, 1, 1), label=f"{name}:{panel.metric.column}")
        left += margin
        panel.draw(drawing, axes, width)
        placed.append(Panel(axes, left, width))
        left += width + _GAP
    above = draw_name(drawing, placed[0].axes, name, free=line_height(_TITLE_SIZE))
    return PanelRow(tuple(placed), panels[0].height, above, _BELOW)


def _handle(line: Series) -> Artist:
    return Line2D(
        [],
        [],
        color=line.style.color,
        linestyle=line.style.dash,
        linewidth=LINE * line.style.weight,
        markersize=MARKER * line.style.weight,
        marker="" if line.reference else line.style.marker,
        markerfacecolor=line.style.color if line.style.filled else "white",
        label=line.label,
    )


def _notes(
    points: list[Point],
    series: tuple[Series, ...],
    rows: dict[str, list[str]],
    metrics: list[Metric],
    axis: str,
) -> list[str]:
    """What is not on the drawing, and why."""
    notes = []
    failed = [point for point in points if point.status not in ("ok", "oom")]
    if failed:
        kinds = ", ".join(sorted({point.status or "no status" for point in failed}))
        notes.append(f"Not drawn: {_cells(len(failed))} without a result ({kinds}).")
    for metric in metrics:
        lacking = sum(point.ok and point.value(metric.column) is None for point in points)
        if lacking:
            notes.append(f"Not drawn: {_cells(lacking)} without {metric.label}.")
    if any(
        not line.reference and not joined(line.of(cells, axis), axis)
        for line in series
        for cells in rows.values()
    ):
        notes.append("Not joined: cells that the table's settings do not tell apart.")
    return notes


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
