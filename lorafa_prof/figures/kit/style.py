"""How figures look: colour-blind-safe, for a column of a paper or a slide, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_rgb

from lorafa_prof.figures.kit.wishes import current_wishes

TEXT, TITLE = 7.0, 8.0
"""Points of all text and of a figure's title, on a page of scale 1."""


@dataclass(frozen=True)
class Page:
    """What a figure is laid out on: in inches and points of a page of scale 1, whatever `scale` is.

    Args:
        width: inches.
        height: inches that the figure fills; None: as many as what is drawn needs.
        columns: in how many columns rows of panels may stand.
        scale: how many times larger the file is, letters and lines too.
        dpi: dots per inch of the file.
    """

    width: float
    height: float | None = None
    columns: int = 1
    scale: float = 1.0
    dpi: int = 300


def _slide(scale: float, columns: int) -> Page:
    """16:9, 13.33 inches wide as presentation programs have it; letters of 7 points times `scale`."""
    return Page(13.333 / scale, 7.5 / scale, columns, scale, dpi=150)


PAGES: dict[str, tuple[Page, ...]] = {
    "paper": (Page(3.5),),
    "two-columns": (Page(7.16, columns=2),),
    "slide": (_slide(2.5, 1), _slide(2.0, 2), _slide(1.7, 2)),
}
"""The pages of each style, the one to prefer first: a later one has room for more, in smaller letters."""

_page: ContextVar[Page] = ContextVar("page", default=PAGES["paper"][0])

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"

INK, FAINT = "#444444", "#C9C9C9"
"""What is of no method and no part of memory, and what stands behind it."""

LOST = "#B00020"
"""Cells without a result; no method and no part of memory has this colour."""

Dash = tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """Colour and marker of a method, the same in every figure."""

    color: str
    marker: str


_METHODS = {
    "full-ft": Look(BLACK, "s"),
    "lora": Look(BLUE, "o"),
    "lora-fa": Look(VERMILION, "^"),
    "lora-fa-uncorrected": Look(PURPLE, "<"),
    "peft-lora": Look(SKY, "D"),
    "peft-lora-fa": Look(ORANGE, "v"),
}
_OTHERS = (Look(GREEN, "P"), Look(PURPLE, "X"), Look(GREY, "p"), Look(YELLOW, "h"))

SOLID: Dash = (0, ())
DASHES: tuple[Dash, ...] = (SOLID, (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.2, 1, 1.2)))
"""Line styles that tell series of one method apart."""

REFERENCE_DASHES: tuple[Dash, ...] = ((0, (6, 2)), (0, (3, 2)), (0, (2, 1, 1, 1)), (0, (1, 2)))
"""Line styles of values that do not depend on the horizontal axis; none of them solid."""

_SIZES = {
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "legend.fontsize": TEXT,
    "axes.titlepad": 3.0,
    "axes.labelpad": 1.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "grid.linewidth": 0.4,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.8,
}
"""In points of a page of scale 1."""

_RC = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.35,
    "text.parse_math": False,  # a model's path may hold dollar signs
    "pdf.fonttype": 42,
    "svg.hashsalt": "lorafa-prof",
}


@contextmanager
def style(on: Page | None = None) -> Iterator[None]:
    """Draw and save in this context; a user's own matplotlib settings neither leak in nor get lost.

    Args:
        on: the page; None: that of the context around this one, else a paper's column.
    """
    page = _page.get() if on is None else _as_wished(on)
    token = _page.set(page)
    size = page.width * page.scale, (page.height or 0.75 * page.width) * page.scale
    settings: Any = {  # older and newer matplotlib type the keys differently
        **_RC,
        **{name: points * page.scale for name, points in _SIZES.items()},
        "figure.figsize": size,
        "savefig.dpi": page.dpi,
    }
    try:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(settings)
            yield
    finally:
        _page.reset(token)


def _as_wished(page: Page) -> Page:
    """The page with the width and height that are wished for, which are inches of the file."""
    wishes = current_wishes()
    width = page.width if wishes.width is None else wishes.width / page.scale
    height = page.height if wishes.height is None else wishes.height / page.scale
    return replace(page, width=width, height=height)


def current_page() -> Page:
    """The page of the `style` this is called in."""
    return _page.get()


def pt(points: float) -> float:
    """Points of a page of scale 1 as points of the file, for matplotlib."""
    return points * _page.get().scale


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """Colour and marker for each method; those without a fixed one take turns, in order of their names."""
    methods = set(methods)
    others = sorted(methods - _METHODS.keys())
    found = {name: look for name, look in _METHODS.items() if name in methods}
    return found | {name: _OTHERS[index % len(_OTHERS)] for index, name in enumerate(others)}


def method_order(name: str) -> tuple[int, str]:
    """Sort key: the methods every figure knows first, in the order of the legend."""
    known = list(_METHODS)
    return (known.index(name) if name in known else len(known), name)


def paler(color: str, amount: float) -> tuple[float, float, float]:
    """`color` mixed with white; `amount` 0 leaves it, 1 gives white."""
    red, green, blue = to_rgb(color)
    return (
        red + (1 - red) * amount,
        green + (1 - green) * amount,
        blue + (1 - blue) * amount,
    )
