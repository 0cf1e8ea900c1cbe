"""Places for names beside the marks they name, where they touch nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_GAP = 0.055
"""Inches between a mark's middle and its name."""

_MARK = 0.04
"""Inches from a mark's middle to its edge, with a little air."""

_LINE = 0.01
"""Inches from the middle of a line to its edge, with a little air."""

Place = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle, in inches from the lower left corner of the axes."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Whether both have a point in common, their edges aside."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def inside(self, width: float, height: float) -> bool:
        """Whether it is within axes of this size."""
        return self.left >= 0 and self.right <= width and self.bottom >= 0 and self.top <= height


def places_beside(
    named: Sequence[tuple[Place, float]],
    marks: Sequence[Place],
    steps: Sequence[Place],
    line: float,
    width: float,
    height: float,
) -> list[Place | None]:
    """The left end and middle height of each name: right of its mark, left, above, below; None without room.

    Args:
        named: where each mark with a name is, and the name's width; the first have the choice.
        marks: where all are; names may not lie upon them.
        steps: corners of a line of steps that names may not lie upon, each the start of one; ascending.
        line: height of a name.
        width, height: of the axes. All are inches.
    """
    taken = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in marks]
    for (x, y), (next_x, next_y) in pairwise(steps):
        taken += [Box(x, y - _LINE, next_x, y + _LINE), Box(next_x - _LINE, y, next_x + _LINE, next_y)]
    found: list[Place | None] = []
    for (x, y), wide in named:
        beside = [(x + _GAP, y), (x - _GAP - wide, y)]
        above_and_below = [(x - wide / 2, y + _GAP + line / 2), (x - wide / 2, y - _GAP - line / 2)]
        boxes = {
            (left, middle): Box(left, middle - line / 2, left + wide, middle + line / 2)
            for left, middle in (*beside, *above_and_below)
        }
        free = [
            place
            for place, box in boxes.items()
            if box.inside(width, height) and not any(box.overlaps(other) for other in taken)
        ]
        found.append(free[0] if free else None)
        taken += [boxes[place] for place in free[:1]]
    return found
