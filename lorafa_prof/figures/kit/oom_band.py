"""The band above a panel's data for what ran out of memory: a row of crosses for each line or method."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from lorafa_prof.figures.kit.style import LOST, pt

_ROW = 0.09
"""Inches."""


def band_height(rows: int) -> float:
    """Return how high it is, in inches."""
    return rows * _ROW + 0.04 if rows else 0.0


def row_height(row: int) -> float:
    """Return how far above the band's foot the middle of a row is, in inches."""
    return 0.02 + (row + 0.5) * _ROW


def draw_band(axes: Axes, low: float, high: float, foot: float) -> None:
    """Draw the band and its name.

    Args:
        axes: of the panel, with the band.
        low, high: between which values of the vertical axis it lies.
        foot: the share of the panel's height that is below it.
    """
    axes.axhspan(low, high, color="#F2F2F2", zorder=0)
    axes.annotate(
        "OOM",
        (0, (1 + foot) / 2),
        xycoords="axes fraction",
        xytext=(pt(-3.5), 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color=LOST,
    )


def cross(color: str | tuple[float, float, float]) -> dict[str, Any]:
    """How a cell in it is drawn, as `Axes.plot` takes it."""
    return {
        "marker": "x",
        "linestyle": "none",
        "color": color,
        "markersize": pt(4),
        "markeredgewidth": pt(1.2),
    }
