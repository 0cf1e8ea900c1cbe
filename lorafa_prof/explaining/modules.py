"""What lives at one moment, by the modules that it belongs to."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from lorafa_prof.explaining.composition import Composition
from lorafa_prof.explaining.names import short_module
from lorafa_prof.parts import PartKey


@dataclass(frozen=True)
class ModuleBytes:
    """A module, or the modules of that place in all layers.

    Attributes:
        module: ``layers.*.mlp``; empty for the model itself.
        count: how many there are, as their weights tell; 1 where they have none.
        parts: bytes by part of the memory.
    """

    module: str
    count: int
    parts: dict[PartKey, int]

    @property
    def nbytes(self) -> int:
        """All parts together."""
        return sum(self.parts.values())


def by_module(composition: Composition) -> list[ModuleBytes]:
    """Modules with all that is inside of them, the largest first; together they are all the pieces."""
    parts: dict[str, Counter[PartKey]] = defaultdict(Counter)
    counts: Counter[str] = Counter()
    for piece in composition.pieces:
        module = _place(short_module(piece.key.module))
        parts[module][piece.part] += piece.nbytes
        if piece.part == "weights" and "*" in module:
            counts[module] = max(counts[module], piece.count)
    found = [ModuleBytes(module, counts[module] or 1, dict(each)) for module, each in parts.items()]
    return sorted(found, key=lambda each: (-each.nbytes, each.module))


def _place(module: str) -> str:
    """One name below the layer that it is in; outside of layers the first two names."""
    names = module.split(".")
    layer = len(names) - 1 - names[::-1].index("*") if "*" in names else 0
    return ".".join(names[: layer + 2])
