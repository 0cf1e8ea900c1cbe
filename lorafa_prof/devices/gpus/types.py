"""Which of a cell's types its GPU does not compute in, as the catalogue has it."""

from __future__ import annotations

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.gpu import Gpu, catalogued
from lorafa_prof.errors import UsageError
from lorafa_prof.words.phrases import listed


def check_autocast_type(cell: Cell) -> None:
    """Check that the cell's GPU computes in the type of its `autocast`.

    Raises:
        UsageError: the GPU is known to have no such type.
    """
    gpu = catalogued(cell.gpu)
    if cell.autocast == "bf16" and gpu is not None and not gpu.computes_in_bf16:
        raise UsageError(
            f"autocast 'bf16': {_lacks_bf16(gpu)}, from 8.0 on GPUs do; autocast: fp16 is what it has",
            about="autocast",
        )


def note_of_types(cell: Cell) -> str:
    """Return a note on what the cell keeps in bf16 on a GPU that does not compute in it; empty if nothing."""
    gpu = catalogued(cell.gpu)
    if gpu is None or gpu.computes_in_bf16:
        return ""
    types = {"dtype": cell.dtype, "adapter_dtype": cell.adapter_dtype if cell.method.options else None}
    in_bf16 = [f"{name} 'bf16'" for name, dtype in types.items() if dtype == "bf16"]
    if not in_bf16:
        return ""
    return f"{listed(in_bf16)}: {_lacks_bf16(gpu)}, PyTorch emulates it there; fp16 and fp32 are what it has"


def _lacks_bf16(gpu: Gpu) -> str:
    major, minor = gpu.compute_capability
    return f"{gpu.name} does not compute in bf16 (compute capability {major}.{minor})"
