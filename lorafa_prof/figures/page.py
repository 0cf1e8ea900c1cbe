"""Laying a figure out in inches, from measured text: nothing overlaps, whatever the labels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.legend import Legend

from lorafa_prof.figures.style import WIDTH

MARGIN = 0.05
"""Inches left free on every side."""

_TITLE_SIZE, _NAME_SIZE, _TEXT_SIZE = 8.0, 6.5, 6.0
_LEGEND_COLUMNS = 4
_HANDLE_WIDTH = 0.35


@dataclass(frozen=True)
class Panel:
    """Axes with their place in a row, in inches from the left edge."""

    axes: Axes
    left: float
    width: float


@dataclass(frozen=True)
class PanelRow:
    """Panels side by side. Heights in inches; `above` is for their titles, `below` for ticks and labels."""

    panels: tuple[Panel, ...]
    height: float
    above: float
    below: float


def new_drawing() -> Drawing:
    """An empty figure that no global state of matplotlib knows of.

    Its text is measured at the resolution it is saved in: hinting makes it wider at a lower one.
    """
    drawing = Drawing(figsize=(WIDTH, 1.0), dpi=300)
    FigureCanvasAgg(drawing)
    return drawing


def line_height(size: float) -> float:
    """Inches a line of text of `size` points takes."""
    return size * 1.3 / 72


def text_width(drawing: Drawing, text: str, size: float, weight: str = "normal") -> float:
    """Width of one line of text, in inches."""
    probe = drawing.text(0, 0, text, fontsize=size, fontweight=weight)
    width, _ = _extent(drawing, probe)
    probe.remove()
    return width


def wrap(drawing: Drawing, text: str, inches: float, size: float, weight: str = "normal") -> list[str]:
    """`text` in lines at most `inches` wide, broken at spaces, inside a word only if it must."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(drawing, joined, size, weight) <= inches:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and text_width(drawing, lines[-1] + letter, size, weight) > inches:
                lines.append("")
            lines[-1] += letter
    return lines


def draw_name(drawing: Drawing, axes: Axes, name: str, free: float = 0.0) -> float:
    """Write a row's name above its first axes, from the figure's left edge, `free` inches higher up.

    Returns the inches that it takes above the axes.
    """
    lines = wrap(drawing, name, WIDTH - 2 * MARGIN, _NAME_SIZE, "bold")
    axes.annotate(
        "\n".join(lines),
        (MARGIN / WIDTH, 1),
        xycoords=("figure fraction", "axes fraction"),
        xytext=(0, free * 72 + 2),
        textcoords="offset points",
        fontsize=_NAME_SIZE,
        fontweight="bold",
    )
    return free + line_height(_NAME_SIZE) * len(lines) + 0.06


def assemble(
    drawing: Drawing,
    *,
    title: str,
    subtitle: str,
    rows: Sequence[PanelRow],
    handles: Sequence[Artist],
    notes: Sequence[str],
) -> None:
    """Give the figure its height and put title, panels, legend and notes in their places, top to bottom."""
    inner = WIDTH - 2 * MARGIN
    head = [(line, _TITLE_SIZE, "bold") for line in wrap(drawing, title, inner, _TITLE_SIZE, "bold")]
    if subtitle:
        head += [(line, _TEXT_SIZE, "normal") for line in wrap(drawing, subtitle, inner, _TEXT_SIZE)]
    foot = [line for note in notes for line in wrap(drawing, note, inner, _TEXT_SIZE)]
    legend = _legend(drawing, handles)
    legend_height = _extent(drawing, legend)[1] + 0.04 if legend else 0.0
    height = (
        2 * MARGIN
        + sum(line_height(size) for _, size, _ in head)
        + sum(row.above + row.height + row.below for row in rows)
        + legend_height
        + len(foot) * line_height(_TEXT_SIZE)
    )
    drawing.set_size_inches(WIDTH, height)
    top = height - MARGIN
    for line, size, weight in head:
        _write(drawing, line, top, size, weight)
        top -= line_height(size)
    for row in rows:
        top -= row.above + row.height
        for panel in row.panels:
            panel.axes.set_position(
                (panel.left / WIDTH, top / height, panel.width / WIDTH, row.height / height)
            )
        top -= row.below
    if legend:
        legend.set_bbox_to_anchor((0.5, top / height), transform=drawing.transFigure)
        top -= legend_height
    for line in foot:
        _write(drawing, line, top, _TEXT_SIZE, "normal")
        top -= line_height(_TEXT_SIZE)


def _write(drawing: Drawing, line: str, top: float, size: float, weight: str) -> None:
    drawing.text(
        MARGIN / WIDTH,
        top / drawing.get_figheight(),
        line,
        fontsize=size,
        fontweight=weight,
        color="black" if weight == "bold" else "#444444",
        va="top",
    )


def _extent(drawing: Drawing, artist: Artist) -> tuple[float, float]:
    """Width and height in inches."""
    canvas = cast(FigureCanvasAgg, drawing.canvas)
    box = artist.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    return float(box.width) / drawing.dpi, float(box.height) / drawing.dpi


def _legend(drawing: Drawing, handles: Sequence[Artist]) -> Legend | None:
    """The legend with as many columns as fit the width."""
    if not handles:
        return None
    room = WIDTH - 2 * MARGIN - _HANDLE_WIDTH
    labels = ["\n".join(wrap(drawing, str(handle.get_label()), room, _TEXT_SIZE)) for handle in handles]
    for columns in range(min(_LEGEND_COLUMNS, len(handles)), 0, -1):
        legend = drawing.legend(
            handles=list(handles),
            labels=labels,
            loc="upper center",
            ncols=columns,
            borderpad=0,
            borderaxespad=0,
        )
        if columns == 1 or _extent(drawing, legend)[0] <= WIDTH - 2 * MARGIN:
            return legend
        legend.remove()
    return None
