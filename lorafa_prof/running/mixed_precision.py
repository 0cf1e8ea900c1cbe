"""What a cell's `autocast` needs: of its GPU, of its model, of its step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.types import check_autocast_type
from lorafa_prof.errors import UsageError
from lorafa_prof.optim.loss_scaling import LossScaler, check_scalable
from lorafa_prof.step import Step
from lorafa_prof.words.phrases import count


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


@contextmanager
def noting_a_skip(step: Step, notes: list[str]) -> Iterator[None]:
    """A context around the step whose memory is measured; that its update is skipped is added to `notes`."""
    before = step.scaler.skipped() if step.scaler is not None else 0
    yield
    if step.scaler is not None and step.scaler.skipped() > before:
        notes.append(
            "a gradient of the step whose memory was measured was not finite, so the loss scaler skipped its "
            "update, and what the optimizer takes may be missing"
        )


def note_skips(step: Step, notes: list[str]) -> None:
    """Add to `notes` how many of the updates until now were skipped, if any was."""
    if step.scaler is not None and (skipped := step.scaler.skipped()):
        notes.append(
            f"the loss scaler skipped {skipped} of {count(step.scaler.updates, 'update')}, warm-up included: "
            "a gradient was not finite"
        )


def scaler_of(cell: Cell, device: torch.device) -> LossScaler | None:
    """Return what scales the cell's loss; None if nothing does."""
    return LossScaler(device) if cell.autocast == "fp16" else None
