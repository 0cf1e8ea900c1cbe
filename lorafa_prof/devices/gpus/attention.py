"""What a cell's attention needs: of its device and GPU, of its type, of what is installed."""

from __future__ import annotations

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.gpu import Gpu, catalogued
from lorafa_prof.errors import UsageError
from lorafa_prof.models.attention import FLASH_PACKAGES, FLEX, check_installed

#: Flash-attention 2 checks for it (csrc/flash_attn/flash_api.cpp, mha_fwd).
_AMPERE = (8, 0)
#: Flash-attention 3's kernels are Hopper's (hopper/README.md).
_HOPPER = 9


def check_attention(cell: Cell) -> None:
    """Check that the cell's device has its attention.

    Raises:
        UsageError: it is flash-attention's, and there is no GPU, one of another generation, a type that the
            kernels do not take, or no such package; or it is flex, and there is no GPU.
    """
    if cell.attention == FLEX and cell.device_kind == "cpu":
        raise _error(cell, "PyTorch has no backward of it on a CPU; sdpa and eager it has")
    if cell.attention not in FLASH_PACKAGES:
        return
    if cell.device_kind == "cpu":
        raise _error(cell, "its kernels run on GPUs alone; sdpa is what the CPU has")
    if cell.product_dtype not in ("bf16", "fp16"):
        raise _error(
            cell,
            f"its kernels take bf16 and fp16 alone, not {cell.product_dtype}; set dtype or autocast, or "
            "attention to sdpa",
        )
    gpu = catalogued(cell.gpu)
    if gpu is not None and not _runs_on(cell.attention, gpu):
        needed = "Ampere or later" if cell.attention == "flash_attention_2" else "Hopper"
        major, minor = gpu.compute_capability
        raise _error(
            cell,
            f"its kernels are for {needed}, and {gpu.name} is none (compute capability {major}.{minor}); "
            "sdpa runs everywhere",
        )
    if not cell.is_predicted:
        check_installed(cell.attention)


def _runs_on(attention: str, gpu: Gpu) -> bool:
    if attention == "flash_attention_2":
        return gpu.compute_capability >= _AMPERE
    return gpu.compute_capability[0] == _HOPPER


def _error(cell: Cell, why: str) -> UsageError:
    return UsageError(f"attention '{cell.attention}': {why}", about="attention")
