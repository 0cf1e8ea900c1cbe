"""Names right of a panel's lines, each at the height where its line ends, moved apart until none touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from lorafa_prof.figures.kit.page import line_height
from lorafa_prof.figures.kit.style import pt

LEADER = 0.13
"""Inches between the axes and the names, for the lines that lead to them."""


@dataclass(frozen=True)
class EndLabel:
    """A name, and what it names: a line or mark that ends at `place`, a share of the axes' width.

    `height` is where it ends, in inches above the foot of the axes.
    """

    text: str
    color: object
    place: float
    height: float


def heights_apart(wanted: Sequence[float], low: float, high: float, apart: float) -> list[float] | None:
    """The heights nearest to those wanted that are `apart` from each other; None where there is no room.

    Args:
        wanted: ascending.
        low, high: between these all of them lie.
        apart: least distance between two.
    """
    if (len(wanted) - 1) * apart > high - low:
        return None
    # Less the distances heights need only not descend: neighbours that do become one block, at their mean.
    blocks: list[tuple[float, int]] = []
    for index, height in enumerate(wanted):
        mean, size = height - index * apart, 1
        while blocks and blocks[-1][0] > mean:
            before, more = blocks.pop()
            mean, size = (before * more + mean * size) / (size + more), size + more
        blocks.append((mean, size))
    free = [mean for mean, size in blocks for _ in range(size)]
    top = high - (len(wanted) - 1) * apart
    return [min(max(height, low), top) + index * apart for index, height in enumerate(free)]


def fits(labels: Sequence[EndLabel], height: float) -> bool:
    """Whether axes of this height in inches have room for so many names."""
    return len(labels) * line_height() <= height


def draw_end_labels(axes: Axes, labels: Sequence[EndLabel], width: float, height: float) -> None:
    """Write the names, and draw a thin line to each; `width` and `height` are the axes' own, in inches."""
    ordered = sorted(labels, key=lambda label: label.height)
    half = line_height() / 2
    places = heights_apart([label.height for label in ordered], half, height - half, line_height())
    for label, place in zip(ordered, places or (), strict=True):
        axes.plot(
            [label.place, 1 + 0.35 * LEADER / width, 1 + 0.8 * LEADER / width],
            [label.height / height, label.height / height, place / height],
            transform=axes.transAxes,
            color=label.color,
            linewidth=pt(0.5),
            clip_on=False,
            zorder=1.5,
        )
        axes.annotate(
            label.text,
            (1, place / height),
            xycoords="axes fraction",
            xytext=(pt(LEADER * 72), 0),
            textcoords="offset points",
            va="center_baseline",
        )
