"""Cells at equal settings: all methods side by side, of one model and context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.concluding.conclusion import PEAK
from lorafa_prof.figures.kit.points import (
    CONTEXT_SETTINGS,
    METHOD_SETTINGS,
    Point,
    differing,
    named,
    phrases,
    sort_key,
)
from lorafa_prof.figures.kit.style import method_order
from lorafa_prof.words.numbers import shown
from lorafa_prof.words.phrases import and_more

#: So many cells are a table that is read at a glance.
_MOST_ROWS = 16
_METRICS = {
    "activation_bytes": ("held for backward", "bytes"),
    PEAK: ("peak allocated", "bytes"),
    "peak_reserved_bytes": ("reserved", "bytes"),
    "tokens_per_s": ("tokens/s", ""),
}


@dataclass(frozen=True)
class EqualCells:
    """The cells of one model and context.

    Attributes:
        about: the settings that they share and others do not: "seq 4096"; empty where there are no others.
        points: by what belongs to their methods, so that methods of one rank stand side by side.
    """

    about: str
    points: tuple[Point, ...]

    @property
    def header(self) -> list[str]:
        """Of `rows`; what no cell has is left out."""
        return ["method", *(_METRICS[column][0] for column in self._columns)]

    @property
    def rows(self) -> list[list[str]]:
        """Of each cell its name, and what it needs or why that is not known."""
        own = differing(self.points, METHOD_SETTINGS)
        return [[named(point, own), *self._values(point)] for point in self.points[:_MOST_ROWS]]

    @property
    def left_out(self) -> str:
        """What to say where there are more cells than rows."""
        return and_more(len(self.points) - _MOST_ROWS) if len(self.points) > _MOST_ROWS else ""

    @property
    def _columns(self) -> list[str]:
        return [
            column for column in _METRICS if any(point.value(column) is not None for point in self.points)
        ]

    def _values(self, point: Point) -> list[str]:
        known = [point.value(column) for column in self._columns]
        texts = [
            "" if value is None else shown(value, _METRICS[column][1])
            for column, value in zip(self._columns, known, strict=True)
        ]
        return texts if point.ok or not texts else [point.failure(), *texts[1:]]


def equal_cells(points: Sequence[Point]) -> list[EqualCells]:
    """All cells, by model and context, in the order of figures."""
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        key = (point.model, *(point.settings[name] for name in CONTEXT_SETTINGS))
        groups.setdefault(key, []).append(point)
    context = differing(points, CONTEXT_SETTINGS)
    several = len({point.model for point in points}) > 1
    return [
        EqualCells(
            ", ".join(filter(None, (group[0].model if several else "", phrases(group[0], context)))),
            tuple(sorted(group, key=_side_by_side)),
        )
        for group in groups.values()
    ]


def largest(groups: Sequence[EqualCells]) -> EqualCells:
    """The group with most methods that finished, and of these the one with the highest peak."""
    return max(
        groups,
        key=lambda group: (
            len({point.method for point in group.points if point.ok}),
            max(point.value(PEAK) or 0.0 for point in group.points),
        ),
    )


def _side_by_side(point: Point) -> tuple[object, ...]:
    own = tuple(sort_key(point.settings[name]) for name in METHOD_SETTINGS)
    return (point.settings["rank"] is not None, own, method_order(point.method), point.cell_id)
