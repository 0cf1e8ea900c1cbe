"""A drawing for a dark page: greys turned around, colours as the page's charts have them."""

from __future__ import annotations

from functools import cache
from typing import Any

from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba, to_rgba_array
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from lorafa_prof.figures.kit.shades import DARK_INK, DARK_PAGE, shades

#: Parts of a colour that are so little apart are a grey.
_GREY = 0.04


def darken(drawing: Drawing) -> None:
    """Change all colours of a drawing, in place."""
    drawing.canvas.draw()  # ticks have their artists only then
    for artist in dict.fromkeys(drawing.findobj(Artist)):
        if isinstance(artist, Line2D):
            _change(artist, "color", "markerfacecolor", "markeredgecolor")
        elif isinstance(artist, Patch):
            _change(artist, "facecolor", "edgecolor")
        elif isinstance(artist, Text):
            _change(artist, "color")
        elif isinstance(artist, Collection):
            artist.set_facecolor([on_dark(to_rgba(color)) for color in to_rgba_array(artist.get_facecolor())])
            artist.set_edgecolor([on_dark(to_rgba(color)) for color in to_rgba_array(artist.get_edgecolor())])


def _change(artist: Any, *names: str) -> None:
    before = {name: getattr(artist, f"get_{name}")() for name in names}  # one may follow from another
    for name, color in before.items():
        if not (isinstance(color, str) and color == "none"):
            getattr(artist, f"set_{name}")(on_dark(to_rgba(color)))


@cache
def on_dark(color: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A colour as it is on a dark page: a grey between the page's ink and its ground, else its dark shade."""
    red, green, blue, alpha = (float(part) for part in color)
    if max(red, green, blue) - min(red, green, blue) > _GREY:
        return to_rgba(shades(to_hex((red, green, blue))).dark, alpha)
    light = (red + green + blue) / 3
    ink, page = to_rgba(DARK_INK), to_rgba(DARK_PAGE)
    mixed = [(1 - light) * one + light * other for one, other in zip(ink[:3], page[:3], strict=True)]
    return (mixed[0], mixed[1], mixed[2], alpha)
