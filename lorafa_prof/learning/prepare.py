"""A run's model, its step and its batches, as they are before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch

from lorafa_prof.errors import UsageError
from lorafa_prof.learning.batches import Batches
from lorafa_prof.learning.limits import check_trainable
from lorafa_prof.learning.opening import Opened
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.schedule import set_weight_decay
from lorafa_prof.methods.base import TORCH_DTYPES, Prepared
from lorafa_prof.optim.choices import check_update
from lorafa_prof.running.prepare import prepare_model, training_step
from lorafa_prof.step import TrainingStep


@dataclass(frozen=True)
class Ready:
    """What trains.

    Attributes:
        prepared: the model, as its method prepared it.
        step: trains it; it has no batch yet.
        batches: what it trains on.
    """

    prepared: Prepared
    step: TrainingStep
    batches: Batches


def prepare_run(run: LearningRun, opened: Opened, device: torch.device) -> Ready:
    """Return what a run trains, on `device`; PyTorch's generators stand where its first step begins.

    Raises:
        UsageError: the cell cannot be built, or not be trained so.
    """
    cell = run.cell
    check_trainable(cell)
    check_update(cell)
    batches = Batches(
        opened.task.training_examples(),
        size=cell.batch,
        seq=cell.seq,
        seed=run.seed,
        pad_id=opened.pad_id,
        packing=cell.packing,
        device=device,
        dtype=TORCH_DTYPES[cell.dtype],
    )
    prepared = prepare_model(cell, opened.resolved, device, draw_seed=run.draw_seed)
    prepared, step = training_step(cell, prepared, prepared.model, {}, device)
    set_weight_decay(prepared.optimizer, run.weight_decay, name=cell.optimizer)
    _check_gives_logits(prepared, batches, opened)
    torch.manual_seed(run.seed)
    return Ready(prepared, step, batches)


@torch.no_grad()
def _check_gives_logits(prepared: Prepared, batches: Batches, opened: Opened) -> None:
    """Check now, and not hours later, that the model gives what evaluations judge by.

    Raises:
        UsageError: its kernels or its loss leave it without logits.
    """
    model = prepared.model
    inputs = {name: tensor[:1] for name, tensor in batches.micro_batch(0).inputs.items() if name != "labels"}
    model.eval()
    output = cast(Any, model(**inputs))
    model.train()
    if getattr(output, "logits", None) is None:
        raise UsageError(
            f"the model gives no logits, by which task '{opened.task.name}' is evaluated; set loss to full "
            "and kernels to others",
            about="loss",
        )
