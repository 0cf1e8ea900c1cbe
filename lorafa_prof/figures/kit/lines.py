"""Lines over one setting: a row of panels per model (and context, if lines are many), a panel per metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from pandas import DataFrame

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.capacities import capacity_note
from lorafa_prof.figures.kit.line_panel import LINE, MARKER, LinePanel, Metric, joined
from lorafa_prof.figures.kit.marked import rings_note
from lorafa_prof.figures.kit.page import MARGIN, assemble, column_width, new_drawing, text_width
from lorafa_prof.figures.kit.panels import GAP, MOST_ROWS, panel_row, plot_height
from lorafa_prof.figures.kit.points import (
    CONTEXT_SETTINGS,
    METHOD_SETTINGS,
    Point,
    Setting,
    differing,
    fixed,
    left_out,
    phrases,
    points_of,
    swept,
)
from lorafa_prof.figures.kit.series import Series, series_of
from lorafa_prof.figures.kit.style import pt, style
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.words.phrases import count

MOST_LINES = 6
"""Of a panel; more are told apart in panels of their own, or left out."""
# What a legend has room for.
_MOST_SERIES = 24
# Of a column's width the names of lines may take.
_NAMES_SHARE = 0.3

_ACTIVATIONS = Metric("activation_bytes", "activations")
MEMORY = (Metric("peak_allocated_bytes", "peak allocated"), _ACTIVATIONS)
MEMORY_AND_CARDS = (Metric("peak_allocated_bytes", "peak allocated", capacities=True), _ACTIVATIONS)
"""What sweeps of memory show; the latter with GPUs' memory as lines."""


@dataclass(frozen=True)
class LineChart:
    """A whole figure: metrics, memory unless said otherwise, over the setting `axis`.

    `steps` and `logarithmic` are as of a `LinePanel`; `items` is what its points are called where some
    are left out.
    """

    title: str
    axis: str
    axis_label: str
    metrics: tuple[Metric, ...] = MEMORY
    steps: bool = False
    items: str = "cells"
    logarithmic: bool = False

    @style()
    def draw(self, table: DataFrame) -> Drawing:
        """Join the cells that differ in nothing but `axis`, and only those.

        Cells out of memory are crosses in a band above the data. Methods without a value on the axis are
        horizontal dashed lines. A line breaks where a value is missing. Where there are more lines or panels
        than a page has room for, the fullest are drawn and a note counts the rest.

        Raises:
            NoDataError: no two cells differ in the axis alone, or none that finished has a metric.
        """
        points = points_of(table)
        if not swept(points, self.axis):
            raise NoDataError(f"the {self.axis} was not swept: no two cells differ in it alone")
        return self.draw_points(points)

    def draw_points(self, everything: Sequence[Point], notes: Sequence[str] = ()) -> Drawing:
        """Draw lines of `everything`, with `notes` beside the figure's own below them."""
        points = _fitting(everything, self.axis)
        ticks = sorted(
            {float(value) for point in points if isinstance(value := point.settings[self.axis], int | float)}
        )
        if not ticks:
            raise NoDataError(f"no cell has a {self.axis}")
        metrics = [
            metric
            for metric in self.metrics
            if any(point.value(metric.column) is not None for point in points)
        ]
        if not metrics:
            raise NoDataError(f"no finished cell has {' or '.join(metric.column for metric in self.metrics)}")
        apart = apart_of(points, self.axis)
        series = tuple(series_of(points, self.axis, apart))
        rows = rows_apart(points, apart)
        panels = {
            name: [
                LinePanel(
                    frozenset(members),
                    metric,
                    self.axis,
                    self.axis_label,
                    tuple(ticks),
                    series,
                    plot_height(len(rows)),
                    self.steps,
                    self.logarithmic,
                )
                for metric in metrics
            ]
            for name, members in rows.items()
        }
        drawing = new_drawing()
        room = column_width(len(rows))
        if named := all(_can_be_named(drawing, members, room) for members in panels.values()):
            panels = {name: [*them[:-1], replace(them[-1], named=True)] for name, them in panels.items()}
        placed = [panel_row(drawing, name, members, room) for name, members in panels.items()]
        cards = {card for members in panels.values() for panel in members for card in panel.capacities}
        assemble(
            drawing,
            title=self.title,
            shared=fixed(points),
            rows=placed,
            handles=[] if named else [_handle(line) for line in series],
            notes=[
                *notes,
                *_notes(points, series, rows, metrics, self.axis),
                *rings_note(point.against(metric.column) for point in points for metric in metrics),
                *capacity_note(cards),
                *left_out(len(everything) - len(points), len(everything), self.items),
            ],
        )
        return drawing


def _can_be_named(drawing: Drawing, panels: Sequence[LinePanel], room: float) -> bool:
    """Whether a row has room for its lines' names right of the last panel, beside the panels' titles."""
    titles = sum(text_width(drawing, panel.title) + panel.labels_width(drawing) + GAP for panel in panels)
    return panels[-1].can_be_named(drawing, min(_NAMES_SHARE * room, room - titles - 2 * MARGIN))


def _fitting(points: Sequence[Point], axis: str) -> list[Point]:
    """The cells of the fullest lines and rows, as many as there is room for."""
    apart = apart_of(points, axis)
    rows = rows_apart(points, apart).values()
    lines = _lines(points, axis, apart)
    finished = Counter(dict.fromkeys(lines.values(), 0))
    finished.update(lines[point.cell_id] for point in points if point.ok)
    fullest = {line for line, _ in finished.most_common(_MOST_SERIES)}
    chosen: set[str] = set()
    for row in sorted(rows, key=len, reverse=True)[:MOST_ROWS]:
        there = Counter(lines[cell] for cell in row if lines[cell] in fullest)
        drawn = {line for line, _ in there.most_common(MOST_LINES)}
        chosen |= {cell for cell in row if lines[cell] in drawn}
    return [point for point in points if point.cell_id in chosen]


def apart_of(points: Sequence[Point], axis: str) -> list[str]:
    """The settings by which rows of panels are told apart: as few as leave no panel more than its lines."""
    candidates = [name for name in differing(points, (*CONTEXT_SETTINGS, *METHOD_SETTINGS)) if name != axis]
    apart: list[str] = []
    while candidates and _most_lines(points, axis, apart) > MOST_LINES:
        apart.append(candidates.pop(0))
    return apart


def _most_lines(points: Sequence[Point], axis: str, apart: Sequence[str]) -> int:
    """Lines of the panel with most of them."""
    lines = _lines(points, axis, apart)
    return max(len({lines[cell] for cell in row}) for row in rows_apart(points, apart).values())


def _lines(points: Sequence[Point], axis: str, apart: Sequence[str]) -> dict[str, int]:
    """The number of each cell's line."""
    series = series_of(points, axis, apart)
    return {point.cell_id: number for number, line in enumerate(series) for point in line.points}


def rows_apart(points: Sequence[Point], apart: Sequence[str]) -> dict[str, list[str]]:
    """The cell_ids of each row of panels, by the row's name.

    What lacks a setting that tells rows apart, as Full-FT does the rank, is in all rows that are like it in
    the others.
    """
    by_key: dict[tuple[Setting, ...], list[Point]] = {}
    for point in points:
        by_key.setdefault((point.model, *(point.settings[name] for name in apart)), []).append(point)
    narrow = [key for key in by_key if None in key and any(_lacking(key, other) for other in by_key)]
    rows: dict[str, list[str]] = {}
    for key, members in by_key.items():
        if key not in narrow:
            name = ", ".join(filter(None, (said(members[0].model), phrases(members[0], apart))))
            alike = [other for other in narrow if _lacking(other, key)]
            cells = [point.cell_id for other in (*alike, key) for point in by_key[other]]
            rows.setdefault(name, []).extend(cells)
    return rows


def _lacking(key: tuple[Setting, ...], other: tuple[Setting, ...]) -> bool:
    """Whether a row is like another one but for settings that it lacks."""
    return key != other and all(own is None or own == value for own, value in zip(key, other, strict=True))


def _handle(line: Series) -> Artist:
    return Line2D(
        [],
        [],
        color=line.style.color,
        linestyle=line.style.dash,
        linewidth=pt(LINE * line.style.weight),
        markersize=pt(MARKER * line.style.weight),
        marker="" if line.reference else line.style.marker,
        markerfacecolor=line.style.color if line.style.filled else "white",
        label=line.label,
    )


def _notes(
    points: Sequence[Point],
    series: Sequence[Series],
    rows: Mapping[str, list[str]],
    metrics: Sequence[Metric],
    axis: str,
) -> list[str]:
    """What is not on the drawing, and why."""
    notes = []
    failed = [point for point in points if point.status not in ("ok", "oom")]
    if failed:
        kinds = ", ".join(sorted({point.status or "no status" for point in failed}))
        notes.append(f"Not drawn: {count(len(failed), 'cell')} without a result ({kinds}).")
    for metric in metrics:
        lacking = sum(point.ok and point.value(metric.column) is None for point in points)
        if lacking:
            notes.append(f"Not drawn: {count(lacking, 'cell')} without {metric.label}.")
    if any(
        not line.reference and not joined(line.of(members, axis), axis)
        for line in series
        for members in rows.values()
    ):
        notes.append("Not joined: cells that the table's settings do not tell apart.")
    return notes
