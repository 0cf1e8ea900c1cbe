"""Timelines of tiny cells on the twin, and a made-up one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from cells import TWIN
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.devices.sim.allocator import AllocatorSettings
from lorafa_prof.instruments.allocations.log import AllocationEvent, Place
from lorafa_prof.instruments.allocations.timeline import PhaseSpan, Timeline
from lorafa_prof.parts import BlockKind
from lorafa_prof.running.recorded_step import predict_timeline
from lorafa_prof.step import Phase


def twin_cell(method: str = "lora-fa", model: str = "tiny-llama", **settings: Any) -> Cell:
    return tiny_cell(model, method, device=TWIN, dtype="bf16", steps=Steps(warmup=3, timed=1), **settings)


@cache
def tiny_timeline(method: str = "lora-fa") -> Timeline:
    return predict_timeline(twin_cell(method))


def made_up(changes: Sequence[tuple[Phase, BlockKind, int]]) -> Timeline:
    """Blocks of `changes`' bytes each come; one below zero frees the last of its kind."""
    events: list[AllocationEvent] = []
    kinds: dict[int, BlockKind] = {}
    for phase, kind, size in changes:
        place = Place(1, phase, "module", "operation")
        number = len(kinds) if size > 0 else max(n for n, k in kinds.items() if k == kind)
        kinds[number] = kind
        action: Any = "alloc" if size > 0 else "free"
        events.append(AllocationEvent(action, number, abs(size) - 1, abs(size), 512 * number, place))
    phases = [phase for phase, _, _ in changes]
    spans = tuple(
        PhaseSpan(1, phase, phases.index(phase), len(phases) - phases[::-1].index(phase))
        for phase in dict.fromkeys(phases)
    )
    return Timeline(tuple(events), (), spans, kinds, (), AllocatorSettings(), steady=(0, len(events)))
