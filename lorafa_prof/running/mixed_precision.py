"""What a cell's `autocast` needs: of its GPU, of its model, of its step."""

from __future__ import annotations

import torch
from torch import nn

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.errors import UsageError
from lorafa_prof.optim.loss_scaling import LossScaler, check_scalable

_FIRST_WITH_BF16 = (8, 0)


def check_autocast(cell: Cell, model: nn.Module) -> None:
    """Check that the cell's GPU computes in the type of its `autocast`, and that its weights can train so.

    Raises:
        UsageError: the GPU is known to have no such type, or the gradients cannot be scaled.
    """
    gpu = GPUS[cell.gpu] if cell.gpu is not None and cell.gpu in GPUS else None
    if cell.autocast == "bf16" and gpu is not None and gpu.compute_capability < _FIRST_WITH_BF16:
        major, minor = gpu.compute_capability
        raise UsageError(
            f"autocast 'bf16': {gpu.name} does not compute in bf16 (compute capability {major}.{minor}; "
            "8.0 and above do); autocast: fp16 is what it has",
            about="autocast",
        )
    if cell.autocast == "fp16" and cell.update == "backward":
        raise UsageError(
            "update 'backward' with autocast 'fp16': a weight would be updated by its scaled gradient; "
            "set update to step, or autocast to bf16",
            about="update",
        )
    if cell.autocast == "fp16":
        check_scalable(model.parameters())


def scaler_of(cell: Cell, device: torch.device) -> LossScaler | None:
    """Return what scales the cell's loss; None if nothing does."""
    return LossScaler(device) if cell.autocast == "fp16" else None
