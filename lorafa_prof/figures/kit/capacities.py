"""The memory of well-known GPUs, as lines across a figure of memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lorafa_prof.devices.gpus.gpu import GPUS

CARDS = ("t4", "rtx-4090", "a100-40gb", "l40s", "h100-80gb", "h200")
"""One card of the catalogue for each size, with its memory known."""

# Of the largest value: a card above it is worth the room if the axis need not grow by more.
_REACH = 1.35


@dataclass(frozen=True)
class Capacity:
    """A card, and its memory as CUDA reports it, in bytes."""

    card: str
    label: str
    size_bytes: float


def capacities_near(smallest_bytes: float, largest_bytes: float, apart: float) -> tuple[Capacity, ...]:
    """The cards between a figure's smallest value and a little above its largest, smallest first.

    Args:
        smallest_bytes, largest_bytes: of the figure's values.
        apart: share of the axis that two lines must lie apart, for their names not to touch.
    """
    near = [
        Capacity(card, f"{GPUS[card].datasheet_memory_gb:g} GB", float(size))
        for card in CARDS
        if (size := GPUS[card].memory_bytes) and smallest_bytes <= size <= _REACH * largest_bytes
    ]
    highest = max([largest_bytes, *(capacity.size_bytes for capacity in near)])
    found: list[Capacity] = []
    for capacity in near:
        if not found or capacity.size_bytes - found[-1].size_bytes >= apart * highest:
            found.append(capacity)
    return tuple(found)


def capacity_note(found: Collection[Capacity]) -> list[str]:
    """What the lines are; no note where there are none."""
    if not found:
        return []
    cards = ", ".join(f"{capacity.label} {capacity.card}" for capacity in sorted(found, key=_size))
    return [
        f"Grey lines: all memory of a GPU, as CUDA reports it ({cards}). A step needs more of it than is "
        "allocated: what is reserved, and the CUDA context."
    ]


def _size(capacity: Capacity) -> float:
    return capacity.size_bytes
