"""Reading back what a drawing shows, by its artists."""

from __future__ import annotations

import itertools
import math

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text


def texts(drawing: Drawing) -> list[str]:
    return [text.get_text() for text in drawing.findobj(Text) if text.get_text()]


def by_gid(drawing: Drawing, prefix: str) -> dict[str, object]:
    found = {}
    for artist in drawing.findobj(lambda artist: (artist.get_gid() or "").startswith(prefix)):
        found[artist.get_gid()] = artist
    return found


def stack(drawing: Drawing, cell_id: str) -> dict[str, float]:
    """Width of each part of a cell's bar, in the axis' unit; checks that each starts where the last ended."""
    parts, end = {}, 0.0
    for patch in drawing.findobj(Rectangle):
        key, _, cell = (patch.get_gid() or "").partition(":")
        if cell == cell_id:
            assert patch.get_x() == end
            end += patch.get_width()
            parts[key] = patch.get_width()
    return parts


def lines(drawing: Drawing, prefix: str) -> list[tuple[list[float], list[float], bool]]:
    """Horizontal values, vertical values (NaN where a line breaks), and whether they are joined."""
    found = [line for line in drawing.findobj(Line2D) if (line.get_gid() or "").startswith(prefix + ":")]
    return [
        (
            list(map(float, line.get_xdata())),
            list(map(float, line.get_ydata())),
            line.get_linestyle() != "None",
        )
        for line in found
    ]


def crosses(drawing: Drawing, column: str) -> list[float]:
    """Where on the horizontal axis cells are marked as out of memory."""
    return sorted(x for xs, _, _ in lines(drawing, f"oom:{column}") for x in xs)


def finite(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def notes(drawing: Drawing) -> str:
    """All text of the figure itself: title, subtitle, notes, each line after the other."""
    return " ".join(text.get_text() for text in drawing.texts)


def points(drawing: Drawing, key: str) -> dict[str, list[tuple[float, float]]]:
    """The points of a panel of points, by method."""
    prefix = f"marks:{key}:"
    found = [line for line in drawing.findobj(Line2D) if (line.get_gid() or "").startswith(prefix)]
    return {
        line.get_gid().removeprefix(prefix): list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in found
    }


def assert_legible(drawing: Drawing) -> None:
    """No text overlaps another or leaves the page."""
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    visible = [text for text in drawing.findobj(Text) if text.get_text().strip() and text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in visible]
    width, height = drawing.get_size_inches() * drawing.dpi
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= width, text
        assert box.y0 >= 0, text
        assert box.y1 <= height, text
    inner = [(text, box.padded(-2)) for text, box in boxes]
    for (text, box), (other, beside) in itertools.combinations(inner, 2):
        assert not box.overlaps(beside), (text, other)
