"""Two cells side by side: what one holds more or less than the other, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.explaining.composition import PARTS, Composition, Part, Piece


@dataclass(frozen=True)
class Difference:
    """Tensors of one part and key in both cells.

    Attributes:
        one, other: of each cell; None where it has none. One of them is there.
    """

    one: Piece | None
    other: Piece | None

    @property
    def delta_bytes(self) -> int:
        """How much more the one has than the other."""
        return (self.one.nbytes if self.one else 0) - (self.other.nbytes if self.other else 0)

    @property
    def piece(self) -> Piece:
        """The tensors, as the cell has them that has more."""
        return max((piece for piece in (self.one, self.other) if piece), key=lambda piece: piece.nbytes)


def differences(one: Composition, other: Composition, parts: Sequence[Part] = PARTS) -> list[Difference]:
    """Tensors of these parts whose bytes are not the same; what the one has least of first.

    With all parts they, the rounding and what is unexplained sum to the difference of the totals.
    """
    ones = {(piece.part, piece.key): piece for piece in one.pieces if piece.part in parts}
    others = {(piece.part, piece.key): piece for piece in other.pieces if piece.part in parts}
    found = [Difference(ones.get(key), others.get(key)) for key in {**ones, **others}]
    return sorted(
        (each for each in found if each.delta_bytes),
        key=lambda each: (each.delta_bytes, each.piece.part, each.piece.key),
    )


@dataclass(frozen=True)
class PartBytes:
    """A part of the memory of two cells."""

    name: Part | Literal["rounding", "unexplained"]
    one: int
    other: int


def part_bytes(one: Composition, other: Composition) -> list[PartBytes]:
    """Every part that either has, what the blocks have beyond the request, and what is unexplained.

    They sum to the totals of both.
    """
    rows = [
        PartBytes(part, *(sum(p.nbytes for p in each.of(part)) for each in (one, other))) for part in PARTS
    ]
    rows = [row for row in rows if row.one or row.other]
    return [
        *rows,
        PartBytes("rounding", one.rounding_bytes, other.rounding_bytes),
        PartBytes("unexplained", one.unexplained_bytes, other.unexplained_bytes),
    ]
