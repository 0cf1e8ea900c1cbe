"""How figures look: colour-blind-safe, one column of a paper wide, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_rgb

WIDTH = 3.5
"""Width of every figure, in inches: one column of a two-column paper."""

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"

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
    "peft-lora": Look(SKY, "D"),
    "peft-lora-fa": Look(ORANGE, "v"),
}
_OTHERS = (Look(GREEN, "P"), Look(PURPLE, "X"), Look(GREY, "p"), Look(YELLOW, "h"))

SOLID: Dash = (0, ())
DASHES: tuple[Dash, ...] = (SOLID, (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.2, 1, 1.2)))
"""Line styles that tell series of one method apart."""

REFERENCE_DASHES: tuple[Dash, ...] = ((0, (6, 2)), (0, (3, 2)), (0, (2, 1, 1, 1)), (0, (1, 2)))
"""Line styles of values that do not depend on the horizontal axis; none of them solid."""

_RC: Any = {  # older and newer matplotlib type the keys differently
    "font.family": "DejaVu Sans",
    "font.size": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 6.5,
    "axes.titlepad": 3,
    "axes.labelpad": 1.5,
    "axes.labelsize": 6.5,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "grid.linewidth": 0.4,
    "grid.color": "#DDDDDD",
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.8,
    "legend.fontsize": 6,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.35,
    "text.parse_math": False,  # a model's path may hold dollar signs
    "pdf.fonttype": 42,
    "svg.hashsalt": "lorafa-prof",
    "savefig.dpi": 300,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in this context; a user's own matplotlib settings neither leak in nor get lost."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


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
