"""All that a run comes to, the most telling first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lorafa_prof.concluding.between_methods import between_methods
from lorafa_prof.concluding.by_setting import by_setting
from lorafa_prof.concluding.conclusion import Conclusion
from lorafa_prof.concluding.largest import largest_cell
from lorafa_prof.concluding.without_result import failed, out_of_memory
from lorafa_prof.figures.kit.points import Point, point_of


def conclusions(rows: Iterable[Mapping[str, Any]]) -> list[Conclusion]:
    """What the rows of a results table come to, by their columns' names; of none of them nothing.

    Only cells alike in all but one thing are compared: their method, or one setting. Values that were
    measured beside other processes or otherwise disturbed are left out.
    """
    return conclusions_of([point_of(row) for row in rows])


def conclusions_of(points: Sequence[Point]) -> list[Conclusion]:
    """The same of cells as figures see them."""
    compared = [*between_methods(points), *out_of_memory(points), *by_setting(points)]
    alone = [] if any(each.kind != "out of memory" for each in compared) else largest_cell(points)
    return [*compared, *alone, *failed(points)]
