"""What settings between a run's cells would need: grids of cells to interpolate in, and how well it goes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lorafa_prof.figures.kit.points import (
    METHOD_SETTINGS,
    SETTINGS,
    Point,
    Setting,
    named,
    phrases,
    sort_key,
    varying,
)

#: What may lie between cells; everything else is as in the cells.
AXES = ("rank", "batch", "seq")
METRICS = ("activation_bytes", "peak_allocated_bytes")

#: Of the combinations of a grid so many may lack a cell for each that has one, or it is none.
_MOST_LACKING = 20

Placed = dict[tuple[Setting, ...], Point]


@dataclass(frozen=True)
class Grid:
    """Cells of a method that differ in rank, batch and length alone, one for each combination of these.

    Attributes:
        about: the model and settings that other grids have otherwise; empty where there are no others.
        method: with what belongs to it.
        axes: ascending values of each of `AXES`; of one that the method has no value of, None alone.
        cell_ids: in the order of `itertools.product` of the axes.
        errors: by metric, how far cells within the grid are at most from what their neighbours give; empty
            where there are none within.
    """

    about: str
    method: str
    axes: Mapping[str, tuple[Setting, ...]]
    cell_ids: tuple[str, ...]
    errors: Mapping[str, float]


def grids_of(points: Sequence[Point]) -> list[Grid]:
    """The grids of a run that have several cells; values of axes for which a cell is lacking are left out."""
    others = [name for name in SETTINGS if name not in AXES]
    alike: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        if all(point.value(metric) is not None for metric in METRICS):
            key = (point.model, point.method, *(point.settings[name] for name in others))
            alike.setdefault(key, []).append(point)
    told = [name for name in varying(points) if name not in AXES]
    several = len({point.model for point in points}) > 1
    grids = []
    for members in alike.values():
        placed = {_place(point): point for point in members}
        cells = _full(placed) if len(placed) == len(members) else {}  # something without a column differs too
        if len(cells) > 1:
            grids.append(_grid(cells, told, several_models=several))
    return grids


def _place(point: Point) -> tuple[Setting, ...]:
    return tuple(point.settings[axis] for axis in AXES)


def _values(cells: Placed) -> list[list[Setting]]:
    return [sorted({place[index] for place in cells}, key=sort_key) for index in range(len(AXES))]


def _full(cells: Placed) -> Placed:
    """The cells without the values of axes that most combinations lack a cell of, until none is lacking."""
    while cells:
        axes = _values(cells)
        combinations = len(axes[0]) * len(axes[1]) * len(axes[2])
        if combinations == len(cells):
            return cells
        if combinations > _MOST_LACKING * len(cells):
            return {}
        lacking = Counter(
            (index, value)
            for place in itertools.product(*axes)
            if place not in cells
            for index, value in enumerate(place)
        )
        index, value = max(lacking, key=lambda each: lacking[each] * len(axes[each[0]]))
        cells = {place: point for place, point in cells.items() if place[index] != value}
    return {}


def _grid(cells: Placed, told: Sequence[str], *, several_models: bool) -> Grid:
    axes = _values(cells)
    places = list(itertools.product(*axes))
    first = cells[places[0]]
    own = [name for name in told if name in METHOD_SETTINGS]
    context = [name for name in told if name not in METHOD_SETTINGS]
    return Grid(
        ", ".join(filter(None, (first.model if several_models else "", phrases(first, context)))),
        named(first, own),
        {axis: tuple(values) for axis, values in zip(AXES, axes, strict=True)},
        tuple(cells[place].cell_id for place in places),
        {metric: max(errors) for metric in METRICS if (errors := list(_errors(cells, axes, metric)))},
    )


def _errors(cells: Placed, axes: Sequence[Sequence[Setting]], metric: str) -> Iterator[float]:
    """How far each cell is from what the two beside it on an axis give, relative to its value."""
    for index, values in enumerate(axes):
        for place in cells:
            at = values.index(place[index])
            if 0 < at < len(values) - 1:
                low, here, high = (_number(values[at + by]) for by in (-1, 0, 1))
                before, own, after = (
                    cells[(*place[:index], values[at + by], *place[index + 1 :])].values[metric]
                    for by in (-1, 0, 1)
                )
                between = before + (after - before) * (here - low) / (high - low)
                yield abs(between - own) / own if own else 0.0


def _number(value: Setting) -> float:
    assert isinstance(value, int | float)
    return float(value)
