"""An evaluation as transformers' Trainer runs it, in the process that has trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.trainer_pt_utils import EvalLoopContainer, find_batch_size, nested_detach

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.models.kernels import WITHOUT_LOGITS
from lorafa_prof.models.losses import CHUNKED
from lorafa_prof.optim.loss_scaling import LossScaler
from lorafa_prof.step import Observer, TrainingStep, notify_end, notify_start


def check_phase(cell: Cell) -> None:
    """Check that what the cell says of an evaluation goes together.

    Raises:
        UsageError: it evaluates batches of different lengths, or keeps logits where there are none: it is no
            evaluation, or its kernels or loss make no logits.
    """
    if cell.is_evaluation and cell.lengths:
        raise UsageError(
            "phase 'eval' has batches of one length, and seq has different ones; set seq to a number, or "
            "phase to train",
            about="seq",
        )
    if not cell.kept_logits:
        return
    if not cell.is_evaluation:
        raise UsageError(
            f"kept_logits {cell.kept_logits} is of an evaluation, and phase is 'train', which keeps none; "
            "set phase to eval, or kept_logits to 0",
            about="kept_logits",
        )
    if cell.loss == CHUNKED:
        raise UsageError(
            f"loss 'chunked' makes no logits, of which kept_logits {cell.kept_logits} would keep some; set "
            "kept_logits to 0, or loss to full",
            about="kept_logits",
        )
    if cell.kernels in WITHOUT_LOGITS:
        raise UsageError(
            f"kernels '{cell.kernels}' make no logits, of which kept_logits {cell.kept_logits} would keep "
            "some; set kept_logits to 0, or kernels to eager or fused-norm",
            about="kept_logits",
        )


@dataclass(frozen=True)
class EvaluationStep:
    """An evaluation of the model that `after` trains, on its inputs, up to where results go to the host.

    It is `Trainer.evaluation_loop` with `Trainer.prediction_step` (transformers 5.17, trainer.py) on one GPU:
    no gradients, and the model in evaluation mode. Forward ends when a batch's output is let go, but for its
    loss and, where logits are kept, all else that Trainer takes for predictions. Collect puts these behind
    those of the batches before, with `torch.cat`, while both still live; results of the batch before are
    there until the next ones are made. The names of Trainer's own loop are kept, since it is by these that
    tensors live or die.

    Attributes:
        after: the training step that ran before, as often as was asked for.
        kept_logits: as many batches are run, and keep logits and labels; 0: one batch, of which only the loss
            is kept (Trainer's `prediction_loss_only`).
    """

    after: TrainingStep
    kept_logits: int = 0

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """Keyword arguments of the model's forward, the same for each batch."""
        return self.after.inputs

    @property
    def scaler(self) -> LossScaler | None:
        """What scales the loss in training; an evaluation scales nothing."""
        return self.after.scaler

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Run the evaluation once, and call each of `observers` when a phase starts and ends."""
        self.after.model.eval()
        all_losses, all_preds, all_labels = (EvalLoopContainer() for _ in range(3))
        for _ in range(max(1, self.kept_logits)):
            notify_start(observers, "forward")
            losses, logits, labels = self._prediction()
            notify_end(observers, "forward")
            notify_start(observers, "collect")
            losses = losses.repeat(find_batch_size(dict(self.inputs)))
            all_losses.add(losses)
            if self.kept_logits:
                all_preds.add(logits)
                all_labels.add(labels)
            notify_end(observers, "collect")

    def _prediction(self) -> tuple[Tensor, Any, Any]:
        """Return the loss of a batch and, where they are kept, its logits and labels."""
        model: Any = self.after.model
        ignored = [*getattr(model.config, "keys_to_ignore_at_inference", ["past_key_values"]), "loss"]
        with torch.no_grad():
            outputs = model(**self.inputs)
            loss = outputs["loss"].detach().mean()
        if not self.kept_logits:
            return loss, None, None
        logits = nested_detach(tuple(value for key, value in outputs.items() if key not in ignored))
        # Pairs of image and text have none: Trainer keeps an empty tuple for them.
        labels = self.inputs.get("labels", ())
        return loss, logits[0] if len(logits) == 1 else logits, nested_detach(labels)
