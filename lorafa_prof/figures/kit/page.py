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

from lorafa_prof.figures.kit.style import TEXT, TITLE, current_page, pt
from lorafa_prof.figures.kit.wishes import current_wishes, said

MARGIN = 0.05
"""Inches left free on every side."""

SHARED = "All cells:"
"""How the sentence of a caption starts that says what all cells share."""

_LEGEND_COLUMNS = 6
_HANDLE_WIDTH = 0.4
# On a page of fixed height panels grow to fill it, but a single bar does not become a wall.
_MOST_STRETCH = 2.0
# Inches; a narrower panel shows nothing.
_LEAST_PANEL = 0.4


class PageFullError(Exception):
    """What is to be drawn is higher or wider than the page; `str(error)` says by how much it must grow."""


class CaptionedDrawing(Drawing):
    """A figure, and what belongs in its caption, sentence by sentence: what it shows, settings, notes."""

    caption: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """Axes with their place in a row, in inches from the left edge of the column."""

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


def new_drawing() -> CaptionedDrawing:
    """An empty figure that no global state of matplotlib knows of.

    Its text is measured at the resolution it is saved in: hinting makes it wider at a lower one.
    """
    page = current_page()
    drawing = CaptionedDrawing(figsize=(page.width * page.scale, page.scale), dpi=page.dpi)
    FigureCanvasAgg(drawing)
    return drawing


def column_width(rows: int) -> float:
    """Inches that each of so many rows of panels has, margins included."""
    page = current_page()
    return page.width / min(page.columns, rows)


def line_height(size: float = TEXT) -> float:
    """Inches a line of text of `size` points takes."""
    return size * 1.3 / 72


def text_width(drawing: Drawing, text: str, size: float = TEXT, weight: str = "normal") -> float:
    """Width of one line of text, in inches."""
    probe = drawing.text(0, 0, text, fontsize=pt(size), fontweight=weight)
    width, _ = _extent(drawing, probe)
    probe.remove()
    return width


def wrap(drawing: Drawing, text: str, inches: float, size: float = TEXT, weight: str = "normal") -> list[str]:
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


def draw_name(drawing: Drawing, first: Panel, name: str, room: float, free: float = 0.0) -> float:
    """Write a row's name above its first panel, from the column's left edge, `free` inches higher up.

    Returns the inches that it takes above the axes; it is at most `room` inches wide.
    """
    lines = wrap(drawing, name, room - 2 * MARGIN, weight="bold")
    first.axes.annotate(
        "\n".join(lines),
        (0, 1),
        xycoords="axes fraction",
        xytext=(pt((MARGIN - first.left) * 72), pt(free * 72 + 2)),
        textcoords="offset points",
        fontweight="bold",
    )
    return free + line_height() * len(lines) + 0.06


def assemble(
    drawing: CaptionedDrawing,
    *,
    title: str,
    subtitle: str = "",
    shared: str = "",
    rows: Sequence[PanelRow],
    handles: Sequence[Artist],
    notes: Sequence[str],
    one_column: bool = False,
) -> None:
    """Give the figure its height and put title, panels, legend and notes in their places, top to bottom.

    Rows stand in the page's columns, or with `one_column` one below the other, as wide as the page. The
    settings that all cells share, `shared`, are in the caption alone; without a title the notes are, too.

    Raises:
        PageFullError: the page has a height of its own, and this does not fit; or a panel has no width left.
    """
    page = current_page()
    wished = current_wishes().title
    heading = said(title) if wished is None else wished
    settings = f"{SHARED} {shared}." if shared else ""
    about = f"{heading or title}: {subtitle}" if subtitle else heading or title
    drawing.caption = tuple(filter(None, (f"{about.rstrip('.')}.", settings, *notes)))
    narrowest = min(panel.width for row in rows for panel in row.panels)
    if narrowest < _LEAST_PANEL:
        raise PageFullError(
            f"it needs a width of {(page.width + _LEAST_PANEL - narrowest) * page.scale:.1f} in"
        )
    inner = page.width - 2 * MARGIN
    head = [
        (line, TITLE, "bold") for line in (wrap(drawing, heading, inner, TITLE, "bold") if heading else [])
    ]
    if heading and subtitle:
        head += [(line, TEXT, "normal") for line in wrap(drawing, subtitle, inner)]
    foot = [line for note in (notes if heading else ()) for line in wrap(drawing, note, inner)]
    legend = _legend(drawing, handles)
    legend_height = _extent(drawing, legend)[1] + 0.04 if legend else 0.0
    columns = [rows] if one_column else _in_columns(rows)
    text_height = (
        2 * MARGIN + sum(line_height(size) for _, size, _ in head) + legend_height + len(foot) * line_height()
    )
    stretch = _stretch(columns, text_height)
    panels_height = max(_height(column, stretch) for column in columns)
    height = page.height or text_height + panels_height
    drawing.set_size_inches(page.width * page.scale, height * page.scale)
    top = height - MARGIN
    for line, size, weight in head:
        _write(drawing, line, top / height, size, weight)
        top -= line_height(size)
    for index, column in enumerate(columns):
        _place(column, index * page.width / len(columns), top, height, stretch)
    top -= panels_height
    if legend:
        legend.set_bbox_to_anchor((0.5, top / height), transform=drawing.transFigure)
        top -= legend_height
    for line in foot:
        _write(drawing, line, top / height, TEXT, "normal")
        top -= line_height()


def _in_columns(rows: Sequence[PanelRow]) -> list[Sequence[PanelRow]]:
    """The rows as they are, or cut in two columns where the page has them, as even as they get."""
    if min(current_page().columns, len(rows)) < 2:
        return [rows]
    # Of cuts that are as even the one that leaves more to the first column.
    cut = min(range(len(rows) - 1, 0, -1), key=lambda cut: max(_height(rows[:cut]), _height(rows[cut:])))
    return [rows[:cut], rows[cut:]]


def _height(rows: Sequence[PanelRow], stretch: float = 1.0) -> float:
    return sum(row.above + stretch * row.height + row.below for row in rows)


def _stretch(columns: Sequence[Sequence[PanelRow]], text_height: float) -> float:
    """By how much panels are heightened to fill a page of fixed height."""
    page = current_page()
    if page.height is None:
        return 1.0
    room = page.height - text_height
    needed = max(map(_height, columns))
    if needed > room:
        raise PageFullError(f"it needs a height of {(needed + text_height) * page.scale:.1f} in")
    panels = [sum(row.height for row in column) for column in columns]
    spare = [room - _height(column) for column in columns]
    return min(_MOST_STRETCH, *(1 + free / own for free, own in zip(spare, panels, strict=True)))


def _place(rows: Sequence[PanelRow], left: float, top: float, height: float, stretch: float) -> None:
    """Put the panels of one column in their places; inches, `top` and `height` from the figure's foot."""
    width = current_page().width
    for row in rows:
        top -= row.above + stretch * row.height
        for panel in row.panels:
            panel.axes.set_position(
                (
                    (left + panel.left) / width,
                    top / height,
                    panel.width / width,
                    stretch * row.height / height,
                )
            )
        top -= row.below


def _write(drawing: Drawing, line: str, top: float, size: float, weight: str) -> None:
    """A line of text at the left margin; `top` is a share of the figure's height."""
    drawing.text(
        MARGIN / current_page().width,
        top,
        line,
        fontsize=pt(size),
        fontweight=weight,
        color="black" if weight == "bold" else "#444444",
        va="top",
    )


def _extent(drawing: Drawing, artist: Artist) -> tuple[float, float]:
    """Width and height in inches."""
    canvas = cast(FigureCanvasAgg, drawing.canvas)
    box = artist.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    dots = drawing.dpi * current_page().scale
    return float(box.width) / dots, float(box.height) / dots


def _legend(drawing: Drawing, handles: Sequence[Artist]) -> Legend | None:
    """The legend with as many columns as fit the width."""
    if not handles:
        return None
    width = current_page().width - 2 * MARGIN
    labels = [
        "\n".join(wrap(drawing, said(str(handle.get_label())), width - _HANDLE_WIDTH)) for handle in handles
    ]
    for columns in range(min(_LEGEND_COLUMNS, len(handles)), 0, -1):
        legend = drawing.legend(
            handles=list(handles),
            labels=labels,
            loc="upper center",
            ncols=columns,
            borderpad=0,
            borderaxespad=0,
        )
        if columns == 1 or _extent(drawing, legend)[0] <= width:
            return legend
        legend.remove()
    return None
