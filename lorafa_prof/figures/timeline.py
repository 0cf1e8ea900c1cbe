"""The memory of one step as it goes: live bytes by kind over its allocations and frees."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.markers import CARETDOWN
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from lorafa_prof.figures.page import MARGIN, Panel, PanelRow, assemble, new_drawing, text_width
from lorafa_prof.figures.scale import Scale, bytes_scale, size_text
from lorafa_prof.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    current_page,
    paler,
    pt,
    style,
)
from lorafa_prof.instruments.live_bytes import column_of
from lorafa_prof.instruments.timeline import KINDS, Kind

Color = str | tuple[float, float, float]

_TITLE = "Memory over one training step"
_AXIS = "allocations and frees of the step, in order"
_NOTE = (
    "Predicted. Bytes of allocated blocks, rounding included. The horizontal axis counts events, not time."
)

# What the bars of memory-by-method have in common with this figure has the same colours there.
_LOOKS: dict[Kind, tuple[str, Color]] = {
    "weights": ("weights", BLUE),
    "optimizer": ("optimizer state", SKY),
    "inputs": ("inputs", YELLOW),
    "workspaces": ("workspaces", GREEN),
    "gradients": ("gradients", PURPLE),
    "activations": ("activations", ORANGE),
    "temporaries": ("temporaries", paler(GREY, 0.35)),
    "other": ("other", BLACK),
}

_OUTLINE = "#404040"

_HEIGHT, _ABOVE, _BELOW = 1.7, 0.16, 0.34
_SHORT = {"forward": "fwd", "backward": "bwd", "optimizer": "opt."}
# Inches right of the axes that text may reach into.
_SPILL = 0.05
_HEADROOM = 1.16
# Of the largest sum; a thinner stretch is less than a pixel high.
_VISIBLE = 0.004
# Twice as many columns as the figure has pixels.
_STRETCHES = 2000


@style()
def draw_timeline(table: DataFrame, subtitle: str) -> Drawing:
    """A stacked area from a table of `lorafa_prof.instruments.live_bytes`, phases and peak marked.

    A note tells what makes up the peak; another names the kinds too small to see, with their most bytes.
    """
    drawing = new_drawing()
    axes = drawing.add_subplot()
    largest = float(table["allocated_bytes"].max())
    scale = bytes_scale(largest)
    shown = [kind for kind in KINDS if table[column_of(kind)].max() > _VISIBLE * largest]
    left = _draw_axes(drawing, axes, largest, scale)
    width = current_page().width - MARGIN - 0.06 - left
    _draw_areas(axes, table, scale)
    _draw_phases(drawing, axes, table, width)
    _draw_peak(axes, table, scale)
    row = PanelRow((Panel(axes, left, width),), _HEIGHT, _ABOVE, _BELOW)
    handles: list[Artist] = [Patch(color=_LOOKS[kind][1], label=_LOOKS[kind][0]) for kind in reversed(shown)]
    peak = _peak_row(table)
    hidden = [kind for kind in KINDS if kind not in shown]
    notes = [_at_peak(table, peak, shown), *_too_small(table, hidden), _NOTE]
    assemble(drawing, title=_TITLE, subtitle=subtitle, rows=[row], handles=handles, notes=notes)
    return drawing


def _draw_axes(drawing: Drawing, axes: Axes, largest: float, scale: Scale) -> float:
    """Dress the axes; returns the inches that labels take left of them."""
    top = _HEADROOM * largest / scale.divisor
    places = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, top)
    labels = {float(place): f"{place:,g}" for place in places if 0 <= place <= top}
    axes.set_ylim(0, top)
    axes.set_yticks(list(labels), list(labels.values()))
    axes.set_ylabel(scale.unit)
    axes.set_xlabel(_AXIS)
    axes.grid(axis="y")
    return MARGIN + 0.22 + max(_width(drawing, label) for label in labels.values())


def _draw_areas(axes: Axes, table: DataFrame, scale: Scale) -> None:
    seen = _extremes(table)
    events = seen["event"].to_numpy()
    bottom = np.zeros(len(seen))
    for kind in KINDS:
        top = bottom + seen[column_of(kind)].to_numpy() / scale.divisor
        if (top > bottom).any():
            axes.fill_between(
                events, bottom, top, step="post", color=_LOOKS[kind][1], linewidth=0, gid=f"kind:{kind}"
            )
        bottom = top
    # An outline, since a peak of one event out of thousands is narrower than a pixel.
    axes.plot(events, bottom, drawstyle="steps-post", color=_OUTLINE, linewidth=pt(0.35), gid="total")
    last = float(events[-1])
    axes.set_xlim(0, last)
    # Half of a label at the very end would be cut off.
    ticks = [
        tick for tick in MaxNLocator(nbins=5, integer=True).tick_values(0, last) if 0 <= tick < 0.95 * last
    ]
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])


def _extremes(table: DataFrame) -> DataFrame:
    """The rows with the most and the fewest bytes in each of many stretches: a pixel shows no more."""
    stretch = np.arange(len(table)) * _STRETCHES // max(len(table), _STRETCHES)
    grouped = table["allocated_bytes"].groupby(stretch)
    ends = [table.index[0], table.index[-1]]
    return table.loc[sorted({*grouped.idxmax(), *grouped.idxmin(), *ends})]


def _draw_phases(drawing: Drawing, axes: Axes, table: DataFrame, width: float) -> None:
    """A line where a phase begins, and its name above it, in short or not at all where there is no room."""
    runs = (table["phase"] != table["phase"].shift()).cumsum()
    firsts = [(float(run["event"].iloc[0]), str(run["phase"].iloc[0])) for _, run in table.groupby(runs)]
    last = float(table["event"].iloc[-1]) or 1.0
    free_from = 0.0
    for (start, name), end in zip(firsts, [*(first for first, _ in firsts[1:]), last], strict=True):
        if start > 0:
            axes.axvline(start, color=BLACK, linewidth=pt(0.5), linestyle=(0, (3, 2)), gid=f"phase:{name}")
        # The last may reach out of its phase: into the margin, and back as far as nothing is there.
        room = (end - start) / last * width if end < last else width + _SPILL - free_from
        text = next((text for text in (name, _SHORT[name]) if _width(drawing, text) <= room), "")
        half = _width(drawing, text) / 2
        middle = min((start + end) / 2 / last * width, width + _SPILL - half)
        free_from = middle + half + 0.05 if text else free_from
        axes.annotate(
            text,
            (middle / width, 1.0),
            xycoords="axes fraction",
            xytext=(0, pt(2)),
            textcoords="offset points",
            ha="center",
        )


def _width(drawing: Drawing, text: str) -> float:
    return text_width(drawing, text)


def _draw_peak(axes: Axes, table: DataFrame, scale: Scale) -> None:
    """A mark on the peak, and its bytes beside it, on the side where there is more room."""
    peak = _peak_row(table)
    event = float(table["event"].iloc[peak])
    height = float(table["allocated_bytes"].iloc[peak]) / scale.divisor
    on_the_left = event > cast(float, table["event"].iloc[-1]) / 2
    axes.plot([event], [height], marker=CARETDOWN, markersize=pt(4), color=BLACK, clip_on=False, gid="peak")
    axes.annotate(
        f"peak {height:,.2f} {scale.unit}",
        (event, height),
        xytext=(pt(-5 if on_the_left else 5), pt(3)),
        textcoords="offset points",
        ha="right" if on_the_left else "left",
        fontweight="bold",
        bbox={"facecolor": "white", "linewidth": 0, "pad": pt(0.6)},
    )


def _peak_row(table: DataFrame) -> int:
    return int(table["allocated_bytes"].to_numpy().argmax())


def _at_peak(table: DataFrame, peak: int, kinds: list[Kind]) -> str:
    row = table.iloc[peak]
    live = {kind: float(row[column_of(kind)]) for kind in kinds}
    parts = [f"{_LOOKS[kind][0]} {size_text(most)}" for kind, most in live.items() if most]
    where = " ".join(part for part in (row["phase"], row["module"], row["operation"]) if part)
    return f"At the peak ({where}): {', '.join(parts)}."


def _too_small(table: DataFrame, kinds: list[Kind]) -> list[str]:
    parts = []
    for kind in kinds:
        most = float(table[column_of(kind)].max())
        if most > 0:
            parts.append(f"{_LOOKS[kind][0]} {size_text(most)}")
    return [f"Too little to see: {', '.join(parts)}."] if parts else []
