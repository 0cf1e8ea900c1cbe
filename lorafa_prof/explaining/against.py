"""Two cells side by side: what one holds more or less than the other, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.explaining.composition import OF_FORWARD, Composition, Piece, as_one
from lorafa_prof.explaining.names import short_module
from lorafa_prof.parts import PART_KEYS, PartKey


@dataclass(frozen=True)
class TensorDifference:
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


def tensor_differences(
    one: Composition, other: Composition, parts: Sequence[PartKey] = PART_KEYS
) -> list[TensorDifference]:
    """Tensors of these parts whose bytes are not the same; what the one has least of first.

    Tensors of two methods are the same where module, type and shape are, by whatever operation they were
    saved, and whatever PEFT puts around the module. With all parts they, the rounding and what is unexplained
    sum to the difference of the totals.
    """
    ones, others = (_by_place(each, parts) for each in (one, other))
    found = [TensorDifference(ones.get(place), others.get(place)) for place in {**ones, **others}]
    return sorted(
        (each for each in found if each.delta_bytes),
        key=lambda each: (each.delta_bytes, each.piece.part, each.piece.key),
    )


_Place = tuple[PartKey, str, str, str, tuple[int, ...]]


def _by_place(composition: Composition, parts: Sequence[PartKey]) -> dict[_Place, Piece]:
    found: dict[_Place, list[Piece]] = {}
    for piece in composition.pieces:
        if piece.part in parts:
            found.setdefault(_place(piece), []).append(piece)
    return {place: as_one(alike) for place, alike in found.items()}


def _place(piece: Piece) -> _Place:
    """What makes tensors of two cells the same."""
    part, key = piece.part, piece.key
    if part in OF_FORWARD:
        # What PEFT's modules inside of a linear have saved, ours has by itself.
        linear = short_module(key.module).partition(".lora_")[0]
        return part, linear, "", key.dtype, key.shape
    if part in ("weights", "gradients", "optimizer"):
        name = short_module(f"{key.module}.{key.op}".removesuffix(".weight"))
        return part, name, key.kind if part == "optimizer" else "", key.dtype, key.shape
    return part, short_module(key.module), f"{key.op} {key.kind}", key.dtype, key.shape


@dataclass(frozen=True)
class PartBytes:
    """A part of the memory of two cells."""

    name: PartKey | Literal["rounding", "unexplained"]
    one: int
    other: int


def part_bytes(one: Composition, other: Composition) -> list[PartBytes]:
    """Every part that either has, what the blocks have beyond the request, and what is unexplained.

    They sum to the totals of both.
    """
    rows = [
        PartBytes(part, *(sum(p.nbytes for p in each.of(part)) for each in (one, other)))
        for part in PART_KEYS
    ]
    rows = [row for row in rows if row.one or row.other]
    return [
        *rows,
        PartBytes("rounding", one.rounding_bytes, other.rounding_bytes),
        PartBytes("unexplained", one.unexplained_bytes, other.unexplained_bytes),
    ]
