"""How far a step's change of the weights is from their full gradient, by layer, and the floor below."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.layer_bytes import split_path
from lorafa_prof.figures.kit.page import (
    MARGIN,
    Panel,
    PanelRow,
    assemble,
    column_width,
    draw_name,
    new_drawing,
    text_width,
)
from lorafa_prof.figures.kit.points import METHOD_SETTINGS, differing, fixed, named, points_of
from lorafa_prof.figures.kit.representatives import largest_of_each_method, not_drawn
from lorafa_prof.figures.kit.style import DASHES, INK, Dash, looks, pt, style
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.instruments.fidelity.fidelity import FULL, floor_space
from lorafa_prof.instruments.fidelity.rules import OPTIMIZER
from lorafa_prof.results.records import Results

_TITLE = "Distance of a step from the full gradient, by layer"
_NOTE = (
    "Relative to the gradient's norm. Plain step: a gradient step of the adapter, at one learning rate with "
    "the weight. Optimizer's step: each weight at its best learning rate. Floor: no small change of the "
    "adapter is closer."
)
_BASE_NOTE = "By quantizing the base: how far that moved the plain step, relative to the step's norm."
_HEIGHT, _ABOVE, _BELOW = 1.1, 0.1, 0.36
_HEADROOM = 1.08
# Dashes and markers of lines in the colour of the panel's method.
_LINES: Mapping[str, tuple[Dash, str, str]] = {
    "plain": (DASHES[0], "o", "plain step"),
    "optimizer": (DASHES[1], "s", "optimizer's step"),
    "floor": (DASHES[2], "", "floor"),
    "base": (DASHES[3], "x", "by quantizing the base"),
}

Value = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class _Layers:
    """Distances over the weights of each numbered layer together, in the order of the model, by line."""

    lines: Mapping[str, tuple[float, ...]]

    @property
    def largest(self) -> float:
        return max(value for values in self.lines.values() for value in values if math.isfinite(value))

    @property
    def count(self) -> int:
        return len(self.lines["plain"])


def _layers(details: Mapping[str, Any]) -> _Layers | None:
    fidelity = details.get("fidelity")
    if not fidelity:
        return None
    rule = fidelity["rule"]
    values: dict[str, Value] = {
        "plain": lambda weight: weight["steps"][rule]["distance"],
        "optimizer": lambda weight: weight["steps"][OPTIMIZER]["scaled_distance"],
        "floor": lambda weight: 0.0 if rule == FULL else weight["floor"][floor_space(rule)],
    }
    layers = _by_layer(fidelity["weights"])
    lines = {
        name: tuple(_together(weights, value, "gradient_share") for weights in layers.values())
        for name, value in values.items()
    }
    if base := _by_layer(details.get("base_error", {}).get("weights", ())):
        lines["base"] = tuple(
            _together(base.get(layer, ()), lambda weight: weight["distance"], "step_share")
            for layer in layers
        )
    found = _Layers(lines)
    return found if any(map(math.isfinite, found.lines["plain"])) else None


def _by_layer(weights: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    layers: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for weight in weights:
        if (place := split_path(weight["module"])) is not None:
            layers.setdefault((place[0].stack, place[1]), []).append(weight)
    return layers


def _together(weights: Sequence[Mapping[str, Any]], value: Value, share_name: str) -> float:
    """The distance of several weights together; NaN if one's is not known."""
    parts = [(weight[share_name], value(weight)) for weight in weights]
    known = [(share, distance) for share, distance in parts if share and distance is not None]
    if not known or any(share and distance is None for share, distance in parts):
        return math.nan
    whole = sum(share for share, _ in known)
    return math.sqrt(sum(share * distance**2 for share, distance in known) / whole)


@style()
def draw(results: Results) -> Drawing:
    """A panel for each of up to four cells, one below the other, on one scale.

    Raises:
        NoDataError: no cell that finished has a record of its fidelity in numbered layers.
    """
    chosen = largest_of_each_method(
        points_of(results.table), lambda point: results.read(point.cell_id, _layers)
    )
    if not chosen:
        raise NoDataError(
            "no finished cell has a record (OUT/cells) of fidelity; ask for `instruments: [fidelity]`"
        )
    drawing = new_drawing()
    points = [point for point, _ in chosen]
    own = differing(points, METHOD_SETTINGS)
    look = looks(point.method for point in points)
    top = _HEADROOM * max(layers.largest for _, layers in chosen) or 1.0
    room = column_width(len(chosen))
    with_base = any("base" in layers.lines for _, layers in chosen)
    assemble(
        drawing,
        title=_TITLE,
        shared=", ".join(filter(None, (said(points[0].model), fixed(points)))),
        rows=[
            _row(drawing, named(point, own), layers, look[point.method].color, top, room)
            for point, layers in chosen
        ],
        handles=_legend(with_base),
        notes=[_NOTE, *([_BASE_NOTE] if with_base else []), *not_drawn(len(chosen), len(results.table))],
    )
    return drawing


def _row(drawing: Drawing, name: str, layers: _Layers, color: str, top: float, room: float) -> PanelRow:
    """A cell in its method's colour."""
    axes = drawing.add_axes((0, 0, 1, 1), label=f"layers:{name}")
    for line, heights in layers.lines.items():
        dash, marker, _ = _LINES[line]
        axes.plot(
            range(layers.count),
            heights,
            color=color,
            linewidth=pt(1.0),
            marker=marker,
            markersize=pt(2.0),
            linestyle=dash,
            clip_on=False,
            gid=f"{line}:{name}",
        )
    left = _dress(drawing, axes, layers.count, top)
    panel = Panel(axes, left, room - MARGIN - left - 0.1)
    above = draw_name(drawing, panel, name, room, _ABOVE)
    return PanelRow((panel,), _HEIGHT, above, _BELOW)


def _dress(drawing: Drawing, axes: Axes, layers: int, top: float) -> float:
    """Give the axes their ticks; returns the inches that labels take left of them."""
    ticks = [t for t in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, top) if 0 <= t <= top]
    labels = [f"{tick:g}" for tick in ticks]
    axes.set_ylim(0, top)
    axes.set_yticks(ticks, labels)
    axes.set_ylabel("distance")
    axes.grid(axis="y")
    axes.set_xlim(-0.5, layers - 0.5)
    numbers = MaxNLocator(nbins=6, integer=True).tick_values(0, max(layers - 1, 1))
    axes.set_xticks([tick for tick in numbers if 0 <= tick < layers])
    axes.set_xlabel("layer")
    return MARGIN + 0.22 + max(text_width(drawing, label) for label in labels)


def _legend(with_base: bool) -> list[Artist]:
    return [
        Line2D([], [], color=INK, label=label, linestyle=dash, marker=marker, markersize=pt(2.0))
        for line, (dash, marker, label) in _LINES.items()
        if line != "base" or with_base
    ]


FIGURE = RecordFigure("fidelity-by-layer", _TITLE, draw)
