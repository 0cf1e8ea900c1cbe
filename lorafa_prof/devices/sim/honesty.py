"""What a reader of a predicted row must know."""

from __future__ import annotations

import torch

from lorafa_prof.devices.sim.machine import CHECKED_TORCH, NEWEST_TORCH
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.scenario.cell import Cell


def notes_of(twin: Twin, cell: Cell) -> list[str]:
    """Sentences for the row's message; none where everything was checked against a GPU."""
    notes = []
    if twin.gpu.memory_bytes is None:
        notes.append(f"the memory of {twin.gpu.name} is not known: out of memory is not predicted")
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version > NEWEST_TORCH:
        notes.append(
            f"this is torch {torch.__version__}; the twin was checked against GPUs with torch {CHECKED_TORCH}"
        )
    return notes
