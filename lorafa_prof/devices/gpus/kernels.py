"""What a cell's `kernels` need: of its device and GPU, of its types, of its steps."""

from __future__ import annotations

from importlib.util import find_spec

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.gpu import catalogued
from lorafa_prof.errors import UsageError
from lorafa_prof.models.kernels import COMPILE, LIGER, PACKED

#: Triton's kernels run from Volta on (torch/utils/_triton.py, has_triton).
_VOLTA = (7, 0)


def check_kernels(cell: Cell) -> None:
    """Check that the cell's device and types can have its kernels.

    Raises:
        UsageError: they are Triton's, and there is no GPU, an older one or a type that they do not take; or
            they are compiled, and the cell is predicted, or is no training step of one length; or they are
            packed, and autocast is on.
    """
    gpu = catalogued(cell.gpu)
    if cell.kernels == LIGER:
        if cell.device_kind == "cpu":
            raise _error(
                cell,
                "Triton's kernels run on GPUs alone, and on their twins (device sim:<gpu>); eager, "
                "fused and compile are what the CPU has",
            )
        if "fp64" in (cell.dtype, cell.adapter_dtype):
            raise _error(cell, "they take fp32, bf16 and fp16 alone, not fp64; set dtype or kernels to eager")
    if cell.kernels == PACKED:
        if cell.autocast != "none":
            raise _error(
                cell, f"they compute in the weights' type; set dtype to {cell.autocast} and autocast to none"
            )
        if cell.device_kind != "cpu" and "fp64" in (cell.dtype, cell.adapter_dtype):
            raise _error(cell, "on a GPU they take fp32, bf16 and fp16 alone; set dtype or kernels to eager")
        if cell.device_kind == "cuda" and find_spec("triton") is None:
            raise _error(cell, "they are written in Triton, which is missing: pip install triton")
    if cell.kernels == COMPILE:
        if cell.is_predicted:
            raise _error(
                cell, "what torch.compile makes of a model cannot be predicted; run it on a GPU or CPU"
            )
        if cell.is_evaluation or cell.lengths:
            raise _error(
                cell,
                "only training steps of one length are compiled before they are measured; set "
                "phase to train and seq to a number",
            )
    if gpu is not None and cell.kernels in (LIGER, COMPILE, PACKED) and gpu.compute_capability < _VOLTA:
        major, minor = gpu.compute_capability
        raise _error(
            cell,
            f"Triton's kernels need Volta or later, and {gpu.name} is none (compute capability "
            f"{major}.{minor}); eager and fused run everywhere",
        )


def _error(cell: Cell, why: str) -> UsageError:
    return UsageError(f"kernels '{cell.kernels}': {why}", about="kernels")
