"""Colours of figures on a screen, where the page may be light or dark."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.colors import to_hex, to_rgb

from lorafa_prof.figures.kit.style import paler

#: The page's two backgrounds, as in assets/page.css.
LIGHT_PAGE, DARK_PAGE = "#ffffff", "#14171c"

#: What is written on the dark one with.
DARK_INK = "#e8ebef"

#: Of a graphical object against its background (WCAG 2.1, 1.4.11).
_LEAST_CONTRAST = 3.0

Color = str | tuple[float, float, float]


@dataclass(frozen=True)
class Shades:
    """One colour as ``#rrggbb``, as it is on a light page and on a dark one."""

    light: str
    dark: str


def shades(color: Color) -> Shades:
    """The colour itself on a light page, as in figures; on a dark one made paler until it can be seen.

    Black becomes the dark page's ink, as in figures for such a page.
    """
    if to_hex(color) == "#000000":
        return Shades("#000000", DARK_INK)
    on_dark = next(
        pale
        for step in range(11)
        if contrast(pale := to_hex(paler(to_hex(color), step / 10)), DARK_PAGE) >= _LEAST_CONTRAST
    )
    return Shades(to_hex(color), on_dark)


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1)."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
