"""What a reader of a predicted row must know."""

from __future__ import annotations

import torch

from lorafa_prof.devices.gpus.gpu import GPUS, Gpu
from lorafa_prof.devices.sim.machine import CHECKED_TORCH, NEWEST_TORCH
from lorafa_prof.devices.sim.twin import CONTEXT_OF, Twin
from lorafa_prof.scenario.cell import Cell


def notes_of(twin: Twin, cell: Cell) -> list[str]:
    """Sentences for the row's message; none where everything was checked against a GPU."""
    notes = notes_of_gpu(twin.gpu)
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version > NEWEST_TORCH:
        notes.append(
            f"this is torch {torch.__version__}; the twin was checked against GPUs with torch {CHECKED_TORCH}"
        )
    return notes


def notes_of_gpu(gpu: Gpu) -> list[str]:
    """What of the memory that the allocator can get on `gpu` is not measured."""
    if gpu.memory_bytes is None:
        return [f"the memory of {gpu.name} is not known: out of memory is not predicted"]
    notes = []
    if not gpu.memory_exact:
        notes.append(f"the memory of {gpu.name} is not known to the byte")
    if gpu.context_bytes is None:
        assumed = (GPUS[CONTEXT_OF].context_bytes or 0) / 2**30
        notes.append(
            f"the CUDA context of {gpu.name} is not measured; {CONTEXT_OF}'s {assumed:.2f} GiB is assumed"
        )
    return notes
