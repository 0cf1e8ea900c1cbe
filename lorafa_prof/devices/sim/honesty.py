"""Notes on what is unchecked or unknown in a prediction, which a reader of the row must know."""

from __future__ import annotations

from functools import cache
from importlib import resources

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.gpu import GPUS, Gpu
from lorafa_prof.devices.gpus.types import note_of_types
from lorafa_prof.devices.sim.machine import CHECKED_TORCH, NEWEST_TORCH
from lorafa_prof.devices.sim.triton_launches import is_read
from lorafa_prof.devices.sim.twin import CONTEXT_OF, Twin
from lorafa_prof.devices.sim.values import Assumption
from lorafa_prof.layers.quantized.eight_bit import THRESHOLD
from lorafa_prof.layers.quantized.operations import linear_8bit
from lorafa_prof.versions import release
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count, first_of

_ASSUMED: dict[Assumption, str] = {
    "finite": "the model asks whether numbers are finite; it is predicted as if all were",
    "nonzero": "the model asks whether a number is zero; it is predicted as if none was",
    "even": (
        "sizes hang on what the model chooses by numbers, such as experts; it is predicted as if each came "
        "equally often"
    ),
}


def notes_of(twin: Twin, cell: Cell) -> list[str]:
    """Return sentences for the row's message; none if everything was checked against a GPU."""
    notes = notes_of_gpu(twin.gpu)
    if version := note_of_version():
        notes.append(version)
    if types := note_of_types(cell):
        notes.append(types)
    if linear_8bit.default in twin.mode.operations:
        notes.append(
            f"int8 is predicted as if no activation was above {THRESHOLD:g}; columns that have one take more"
        )
    fp8 = torch.ops.aten._scaled_mm.default in twin.mode.operations
    if fp8 and not twin.mode.machine.multiplies_fp8_by_cublaslt:
        notes.append(f"what products in fp8 take inside on {twin.gpu.name} is not predicted")
    if cell.launch == "graph" and not twin.mode.machine.graphs_share_generator_state:
        notes.append("what a CUDA graph that draws random numbers takes for their seeds is not predicted")
    notes += notes_of_assumptions(twin)
    if unchecked := unchecked_operations(twin):
        notes.append(note_of_unchecked(unchecked))
    return notes


def notes_of_assumptions(twin: Twin) -> list[str]:
    """Return sentences on what the model asked of numbers, which a twin has not."""
    return [note for assumption, note in _ASSUMED.items() if assumption in twin.mode.assumed]


def note_of_version() -> str:
    """Return a note on the installed PyTorch; empty if it is one of those that were checked."""
    if release(CHECKED_TORCH) <= release(torch.__version__) <= NEWEST_TORCH:
        return ""
    return f"this is torch {torch.__version__}; the twin was checked against GPUs with torch {CHECKED_TORCH}"


def note_of_unchecked(operations: list[str]) -> str:
    """Return how many operations are unchecked, with the first names; the record has them all."""
    allocate = "allocates" if len(operations) == 1 else "allocate"
    return (
        f"not checked against a GPU: what {count(len(operations), 'operation')} {allocate} inside "
        f"({first_of(operations, 3)})"
    )


def unchecked_operations(twin: Twin) -> list[str]:
    """Return names of operations that ran on the twin and are in no GPU trace it was checked with, sorted."""
    ran = {str(operation) for operation in twin.mode.operations} - checked_operations()
    return sorted(name for name in ran if not is_read(name))


@cache
def checked_operations() -> frozenset[str]:
    """Return names of operations whose allocations in GPU traces the twin predicts one for one."""
    text = resources.files("lorafa_prof.devices.sim").joinpath("checked_operations.txt").read_text("utf-8")
    return frozenset(text.split())


def notes_of_gpu(gpu: Gpu) -> list[str]:
    """Return sentences on what is not measured of the memory that the allocator can get on `gpu`."""
    if gpu.memory_bytes is None:
        return [f"the memory of {gpu.name} is not known: out of memory is not predicted"]
    notes = []
    if not gpu.memory_exact:
        notes.append(f"the memory of {gpu.name} is not known to the byte")
    if gpu.context_bytes is None:
        assumed = size(GPUS[CONTEXT_OF].context_bytes or 0)
        notes.append(f"the CUDA context of {gpu.name} is not measured; {CONTEXT_OF}'s {assumed} is assumed")
    return notes
