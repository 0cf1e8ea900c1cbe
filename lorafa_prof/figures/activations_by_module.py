"""Where in the model activations are held: what autograd saved in a typical layer, by module, and outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch

from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.bars import dress_bars
from lorafa_prof.figures.kit.layer_bytes import LayerBytes, layer_bytes
from lorafa_prof.figures.kit.module_rows import ModuleRow, layer_rows, outside_rows
from lorafa_prof.figures.kit.page import MARGIN, Panel, PanelRow, assemble, draw_name, new_drawing, text_width
from lorafa_prof.figures.kit.points import METHOD_SETTINGS, differing, fixed, named, points_of
from lorafa_prof.figures.kit.representatives import largest_of_each_method, not_drawn
from lorafa_prof.figures.kit.style import current_page, looks, pt, style
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.results.records import Results
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count
from lorafa_prof.words.scales import bytes_scale

_TITLE = "Saved for backward, by module"
# Inches.
_MOST_LABEL, _BAR, _BETWEEN, _BELOW, _END = 1.5, 0.08, 0.06, 0.38, 0.12
_HEADROOM = 1.03


def _layers(details: Mapping[str, Any]) -> LayerBytes | None:
    saved = details.get("saved")
    held = layer_bytes(saved) if saved else None
    return held if held is not None and held.by_module else None


@style()
def draw(results: Results) -> Drawing:
    """Bars of each module for up to four cells: of a layer that most others are like, and of what is in none.

    Raises:
        NoDataError: no cell that finished has a record with tensors saved in numbered layers.
    """
    chosen = largest_of_each_method(
        points_of(results.table), lambda point: results.read(point.cell_id, _layers)
    )
    if not chosen:
        raise NoDataError("no finished cell has a record (OUT/cells) of tensors saved in numbered layers")
    drawing = new_drawing()
    points, cells = [point for point, _ in chosen], [held for _, held in chosen]
    own = differing(points, METHOD_SETTINGS)
    names = [named(point, own) for point in points]
    look = looks(point.method for point in points)
    colors = [look[point.method].color for point in points]

    def width(text: str) -> float:
        return text_width(drawing, text)

    panels = {
        "in a typical layer": layer_rows(cells, width, _MOST_LABEL),
        "outside of the layers": outside_rows(cells, width, _MOST_LABEL),
    }
    left = MARGIN + 0.06 + max(width(row.label) for rows in panels.values() for row in rows)
    assemble(
        drawing,
        title=_TITLE,
        shared=", ".join(filter(None, (said(points[0].model), fixed(points)))),
        rows=[_panel(drawing, name, rows, colors, left) for name, rows in panels.items() if rows],
        handles=[Patch(color=color, label=name) for color, name in zip(colors, names, strict=True)],
        notes=[*map(_sums, names, cells), *not_drawn(len(chosen), len(results.table))],
        one_column=True,
    )
    return drawing


def _panel(
    drawing: Drawing, name: str, rows: Sequence[ModuleRow], colors: Sequence[str], left: float
) -> PanelRow:
    """A bar for each cell, module by module; top to bottom, in inches of height."""
    axes = drawing.add_axes((0, 0, 1, 1), label=name)
    scale = bytes_scale(max(value for row in rows for value in row.values))
    depth, middles = _BETWEEN, []
    for row in rows:
        for number, (value, color) in enumerate(zip(row.values, colors, strict=True)):
            middle, gid = depth + _BAR * (number + 0.5), f"{number}:{row.label}"
            (bar,) = axes.barh(middle, value / scale.divisor, _BAR, color=color, edgecolor="white").patches
            bar.set_linewidth(pt(0.2))
            bar.set_gid(gid)
        middles.append(depth + _BAR * len(colors) / 2)
        depth += _BAR * len(colors) + _BETWEEN
    axes.set_ylim(depth, 0)
    axes.set_xlim(0, _HEADROOM * max(value for row in rows for value in row.values) / scale.divisor)
    axes.set_yticks(middles, [row.label for row in rows])
    room = current_page().width
    panel = Panel(axes, left, room - left - MARGIN - _END)
    dress_bars(drawing, axes, panel.width)
    axes.set_xlabel(f"saved ({scale.unit})")
    return PanelRow((panel,), depth, draw_name(drawing, panel, name, room), _BELOW)


def _sums(name: str, held: LayerBytes) -> str:
    alike, layers = held.typical_share
    like_it = "each" if alike == layers else f"{alike:,} of them as drawn"
    return (
        f"{name}: {size(held.total_bytes)} in {count(layers, 'layer')} ({like_it}), "
        f"{size(held.outside_bytes)} outside."
    )


FIGURE = RecordFigure("activations-by-module", _TITLE, draw)
