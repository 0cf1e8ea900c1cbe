"""What a cell's `autocast` needs: of its GPU, of its model, of its step."""

from __future__ import annotations

import torch
from torch import nn

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.types import check_autocast_type
from lorafa_prof.errors import UsageError
from lorafa_prof.optim.loss_scaling import LossScaler, check_scalable


def check_autocast(cell: Cell, model: nn.Module) -> None:
    """Check that the cell's GPU computes in the type of its `autocast`, and that its weights can train so.

    Raises:
        UsageError: the GPU is known to have no such type, or the gradients cannot be scaled.
    """
    check_autocast_type(cell)
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
