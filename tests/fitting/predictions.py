"""Cells to ask about, and predictions of them that nothing predicted."""

from __future__ import annotations

from typing import Any

from cells import TWIN
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.instruments.memory.profile import Counters, MemoryProfile, PhaseMemory
from lorafa_prof.step import PHASES


def sim_cell(method: str = "lora", **settings: Any) -> Cell:
    return tiny_cell("tiny-llama", method, device=TWIN, steps=Steps(), **settings)


def made_up(reserved: int, *, allocated: int = 0, retries: int = 0) -> MemoryProfile:
    """Memory of a step whose peaks are these."""
    nothing = Counters(0, 0, 0, 0)
    phase = PhaseMemory(nothing, nothing, Counters(allocated, allocated, allocated, reserved))
    return MemoryProfile(dict.fromkeys(PHASES, phase), 0, reserved, retries)
