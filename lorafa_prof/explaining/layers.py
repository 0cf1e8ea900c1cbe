"""What lives at one moment, by the layers that it belongs to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lorafa_prof.explaining.composition import Composition
from lorafa_prof.explaining.names import short_module


@dataclass(frozen=True)
class EqualLayers:
    """Layers one after the other that hold the same.

    Attributes:
        stack: that they are in: ``layers``, ``encoder.block``.
        first, last: their numbers.
        nbytes: of each.
    """

    stack: str
    first: int
    last: int
    nbytes: int


def by_layer(composition: Composition) -> list[EqualLayers]:
    """Stack by stack, in the order of the layers; what is in no layer is left out."""
    found: Counter[tuple[str, int]] = Counter()
    for piece in composition.pieces:
        for layer, nbytes in piece.layers.items():
            stack, _, last_name = short_module(layer).rpartition(".")
            found[stack, int(last_name)] += nbytes
    equal: list[EqualLayers] = []
    for (stack, number), nbytes in sorted(found.items()):
        last = equal[-1] if equal else None
        if last and (last.stack, last.last, last.nbytes) == (stack, number - 1, nbytes):
            equal[-1] = EqualLayers(stack, last.first, number, nbytes)
        else:
            equal.append(EqualLayers(stack, number, number, nbytes))
    return equal
