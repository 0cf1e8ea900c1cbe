"""A panel of one step's memory as it goes: live bytes by kind over its allocations and frees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.markers import CARETDOWN
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from lorafa_prof.figures.kit.page import MARGIN, Panel, PanelRow, draw_name, text_width
from lorafa_prof.figures.kit.style import BLACK, pt
from lorafa_prof.instruments.allocations.live_bytes import column_of
from lorafa_prof.parts import BLOCK_KINDS, PARTS, BlockKind
from lorafa_prof.words.numbers import size
from lorafa_prof.words.scales import Scale

NOTE = "Predicted. Bytes of allocated blocks, rounding included. The horizontal axis counts events, not time."

_AXIS = "allocations and frees of the step, in order"

_OUTLINE = "#404040"

_ABOVE, _BELOW = 0.16, 0.34
_SHORT = {"forward": "fwd", "backward": "bwd", "optimizer": "opt.", "collect": "coll."}
# Inches right of the axes that text may reach into.
_SPILL = 0.05
_HEADROOM = 1.16
# Of the largest sum; a thinner stretch is less than a pixel high.
_VISIBLE = 0.004
# Twice as many columns as the figure has pixels.
_STRETCHES = 2000


@dataclass(frozen=True)
class StepMemory:
    """A step to draw.

    Attributes:
        table: of `lorafa_prof.instruments.allocations.live_bytes`.
        name: stands above the panel; empty for none.
    """

    table: DataFrame
    name: str = ""

    @property
    def largest_bytes(self) -> float:
        """The most that is allocated in it."""
        return float(self.table["allocated_bytes"].max())


def kinds_seen(steps: Sequence[StepMemory], largest_bytes: float) -> list[BlockKind]:
    """The kinds that are more than a line in one of the steps, drawn up to `largest_bytes`."""
    return [
        kind
        for kind in BLOCK_KINDS
        if any(step.table[column_of(kind)].max() > _VISIBLE * largest_bytes for step in steps)
    ]


def legend(kinds: Sequence[BlockKind]) -> list[Artist]:
    """Handles for a legend, from the top of a stack to its bottom."""
    return [Patch(color=PARTS[kind].color, label=PARTS[kind].name) for kind in reversed(kinds)]


def step_panel(
    drawing: Drawing, step: StepMemory, scale: Scale, largest_bytes: float, room: float, height: float
) -> PanelRow:
    """A stacked area, its phases and its peak marked.

    Args:
        drawing: that it is a part of.
        step: what it shows.
        scale: of its bytes.
        largest_bytes: that there must be room for.
        room: inches from the left edge of its column to the right one.
        height: inches.
    """
    axes = drawing.add_axes((0, 0, 1, 1), label=f"step:{step.name}")
    left = _draw_axes(drawing, axes, largest_bytes, scale)
    width = room - MARGIN - 0.06 - left
    panel = Panel(axes, left, width)
    _draw_areas(axes, step.table, scale)
    _draw_phases(drawing, axes, step.table, width)
    _draw_peak(axes, step.table, scale)
    above = draw_name(drawing, panel, step.name, room, _ABOVE) if step.name else _ABOVE
    return PanelRow((panel,), height, above, _BELOW)


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
    for kind in BLOCK_KINDS:
        top = bottom + seen[column_of(kind)].to_numpy() / scale.divisor
        if (top > bottom).any():
            axes.fill_between(
                events, bottom, top, step="post", color=PARTS[kind].color, linewidth=0, gid=f"kind:{kind}"
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
    peak_bytes = float(table["allocated_bytes"].iloc[peak])
    height = peak_bytes / scale.divisor
    on_the_left = event > cast(float, table["event"].iloc[-1]) / 2
    axes.plot([event], [height], marker=CARETDOWN, markersize=pt(4), color=BLACK, clip_on=False, gid="peak")
    axes.annotate(
        f"peak {size(peak_bytes)}",
        (event, height),
        xytext=(pt(-5 if on_the_left else 5), pt(3)),
        textcoords="offset points",
        ha="right" if on_the_left else "left",
        fontweight="bold",
        bbox={"facecolor": "white", "linewidth": 0, "pad": pt(0.6)},
    )


def _peak_row(table: DataFrame) -> int:
    return int(table["allocated_bytes"].to_numpy().argmax())


def at_peak(step: StepMemory, kinds: Sequence[BlockKind]) -> str:
    """What makes up the peak, as far as it is of these kinds."""
    row = step.table.iloc[_peak_row(step.table)]
    live = {kind: float(row[column_of(kind)]) for kind in kinds}
    parts = [f"{PARTS[kind].name} {size(most)}" for kind, most in live.items() if most]
    where = " ".join(part for part in (row["phase"], row["module"], row["operation"]) if part)
    whose = f" of {step.name}" if step.name else ""
    return f"At the peak{whose} ({where}): {', '.join(parts)}."


def too_small(steps: Sequence[StepMemory], seen: Sequence[BlockKind]) -> list[str]:
    """The other kinds, with the most that any of the steps has of them."""
    parts = []
    for kind in (kind for kind in BLOCK_KINDS if kind not in seen):
        most = max(float(step.table[column_of(kind)].max()) for step in steps)
        if most > 0:
            parts.append(f"{PARTS[kind].name} {size(most)}")
    return [f"Too little to see: {', '.join(parts)}."] if parts else []
