"""Where in the model activations are held: what autograd saved, by layer and module, as a heat map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.heat_rows import heat_rows
from lorafa_prof.figures.kit.layer_bytes import LayerBytes, layer_bytes
from lorafa_prof.figures.kit.page import (
    MARGIN,
    Panel,
    PanelRow,
    assemble,
    line_height,
    new_drawing,
    text_width,
    wrap,
)
from lorafa_prof.figures.kit.points import METHOD_SETTINGS, Point, differing, fixed, named, points_of
from lorafa_prof.figures.kit.representatives import first_of_each_method, not_drawn
from lorafa_prof.figures.kit.style import current_page, pt, style
from lorafa_prof.results.records import Results
from lorafa_prof.words.numbers import size
from lorafa_prof.words.scales import Scale, bytes_scale

_TITLE = "Saved for backward, by layer and module"
_COLORS = "cividis"
# Inches.
_MOST_LABEL, _LEAST_MAP, _GAP = 1.5, 0.85, 0.12
_BELOW, _BAR_HEIGHT, _BAR_BELOW = 0.4, 0.08, 0.38


_Cell = tuple[Point, LayerBytes]


def _layers(details: Mapping[str, Any]) -> LayerBytes | None:
    saved = details.get("saved")
    held = layer_bytes(saved) if saved else None
    return held if held is not None and held.by_module else None


@style()
def draw(results: Results) -> Drawing:
    """A map for each of up to four cells, on one scale of colours; modules down, layers across.

    Raises:
        NoDataError: no cell that finished has a record with tensors saved in numbered layers.
    """
    chosen = first_of_each_method(
        points_of(results.table), lambda point: results.read(point.cell_id, _layers)
    )
    if not chosen:
        raise NoDataError("no finished cell has a record (OUT/cells) of tensors saved in numbered layers")
    drawing = new_drawing()
    rows = heat_rows([held for _, held in chosen])
    maps = [rows.values(held) for _, held in chosen]
    largest = max(float(np.nanmax(values)) for values in maps)
    scale = bytes_scale(largest)
    colors = Normalize(0, largest / scale.divisor)
    points = [point for point, _ in chosen]
    own = differing(points, METHOD_SETTINGS)
    names = [named(point, own) for point in points]
    scaled = [(name, values / scale.divisor) for name, values in zip(names, maps, strict=True)]
    labels = rows.labels(lambda text: text_width(drawing, text), _MOST_LABEL)
    left = MARGIN + 0.06 + max(text_width(drawing, label) for label in labels)
    per_row = _per_row(left, len(chosen))
    placed = [
        _map_row(drawing, scaled[start : start + per_row], colors, labels, left, per_row)
        for start in range(0, len(scaled), per_row)
    ]
    assemble(
        drawing,
        title=_TITLE,
        subtitle=", ".join(filter(None, (points[0].model, fixed(points)))),
        rows=[*placed, _color_bar(drawing, colors, scale, left)],
        handles=(),
        notes=_notes(chosen, names, len(results.table)),
        one_column=True,
    )
    return drawing


def _per_row(left: float, count: int) -> int:
    """How many maps stand side by side: an even share of them, none narrower than `_LEAST_MAP`."""
    room = int((current_page().width - left - MARGIN + _GAP) / (_LEAST_MAP + _GAP))
    return math.ceil(count / math.ceil(count / max(room, 1)))


def _map_row(
    drawing: Drawing,
    maps: Sequence[tuple[str, NDArray[np.float64]]],
    colors: Normalize,
    labels: Sequence[str],
    left: float,
    per_row: int,
) -> PanelRow:
    """Maps side by side, the labels of their rows left of the first."""
    width = (current_page().width - left - MARGIN - 0.03 - _GAP * (per_row - 1)) / per_row
    panels, above = [], 0.0
    for index, (name, values) in enumerate(maps):
        axes = drawing.add_axes((0, 0, 1, 1), label=name)
        _draw_map(axes, values, colors)
        axes.set_yticks(range(len(labels)), labels if index == 0 else [])
        title = wrap(drawing, name, width, weight="bold")
        axes.set_title("\n".join(title), loc="left", fontweight="bold")
        panels.append(Panel(axes, left + index * (width + _GAP), width))
        above = max(above, line_height() * len(title) + 0.08)
    return PanelRow(tuple(panels), line_height() * len(labels), above, _BELOW)


def _draw_map(axes: Axes, values: NDArray[np.float64], colors: Normalize) -> None:
    rows, layers = values.shape
    axes.pcolormesh(
        np.arange(layers + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=_COLORS,
        norm=colors,
        edgecolors="face",
        linewidth=pt(0.1),  # without it viewers of a PDF show gaps between the fields
        gid=f"map:{axes.get_label()}",
    )
    axes.set_ylim(rows - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    ticks = MaxNLocator(nbins=4, integer=True).tick_values(0, max(layers - 1, 1))
    axes.set_xticks([tick for tick in ticks if 0 <= tick < layers])
    axes.set_xlabel("layer")


def _color_bar(drawing: Drawing, colors: Normalize, scale: Scale, left: float) -> PanelRow:
    axes = drawing.add_axes((0, 0, 1, 1), label="colors")
    bar = drawing.colorbar(ScalarMappable(colors, _COLORS), cax=axes, orientation="horizontal")
    bar.set_label(f"saved in one layer ({scale.unit})")
    bar.locator = MaxNLocator(nbins=4)
    bar.update_ticks()
    width = current_page().width - left - MARGIN - 0.15
    return PanelRow((Panel(axes, left, width),), _BAR_HEIGHT, 0.0, _BAR_BELOW)


def _notes(chosen: Sequence[_Cell], names: Sequence[str], total: int) -> list[str]:
    sums = [
        f"{name} {size(held.total_bytes)} ({size(held.outside_bytes)})"
        for name, (_, held) in zip(names, chosen, strict=True)
    ]
    return [
        f"Saved in all layers (outside of them): {', '.join(sums)}. Blank: nothing is saved there.",
        *not_drawn(len(chosen), total),
    ]


FIGURE = RecordFigure("activation-heatmap", _TITLE, draw)
