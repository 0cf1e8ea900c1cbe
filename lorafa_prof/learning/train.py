"""The loop of a learning run: steps, evaluations, checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from lorafa_prof.instruments.timing import Clock, CudaClock, HostClock
from lorafa_prof.layers.drawing import own_random_numbers
from lorafa_prof.learning.batches import MicroBatch
from lorafa_prof.learning.checkpoint import Standing, load_checkpoint, save_checkpoint, save_trained
from lorafa_prof.learning.files import RunFiles, StepLoss, append_losses, keep_losses_until
from lorafa_prof.learning.losses import MOST_UNREAD, DivergedError, UnreadLosses
from lorafa_prof.learning.memory import TrainingMemory
from lorafa_prof.learning.opening import Opened
from lorafa_prof.learning.prepare import Ready
from lorafa_prof.learning.record import RunRecord, Value, write_record
from lorafa_prof.learning.schedule import set_rate, share_of_rate
from lorafa_prof.models.kernels import COMPILE
from lorafa_prof.optim.loss_scaling import LossScaler
from lorafa_prof.results.files import write_atomically, writing
from lorafa_prof.step import PhaseTracker, TrainingStep
from lorafa_prof.tasks.task import Evaluation, Split


class Training:
    """A run under way: it goes on from its checkpoint, if there is one, to its end.

    Usage::

        training = Training(record, files, opened, ready, device, PhaseTracker())
        training.run()

    Args:
        record: of the run; takes its evaluations, and is written after each.
        files: of the run.
        opened: its task and model.
        ready: what trains.
        device: where that is.
        tracker: is told of the phases of each step.

    Attributes:
        standing: where the run stands.
    """

    def __init__(
        self,
        record: RunRecord,
        files: RunFiles,
        opened: Opened,
        ready: Ready,
        device: torch.device,
        tracker: PhaseTracker,
    ) -> None:
        self._record = record
        self._run = record.run
        self._files = files
        self._task = opened.task
        self._prepared = ready.prepared
        self._batches = ready.batches
        self._device = device
        self._tracker = tracker
        self._losses = UnreadLosses(self._run.cell.accumulation, device)
        self._step = replace(ready.step, take_loss=self._losses.take)
        self._clock: Clock = CudaClock() if device.type == "cuda" else HostClock()
        self.total = self._run.total_steps(ready.batches.items)
        self.standing = load_checkpoint(files.checkpoint, self._run.run_id, self._step, device) or Standing()
        looks = device.type == "cuda" or self._run.cell.kernels != COMPILE
        self._memory = TrainingMemory(ready.prepared, device, self.standing.memory, looks=looks)

    def run(self) -> None:
        """Train to the end and evaluate; the record, the losses and checkpoints are written on the way.

        Raises:
            DivergedError: a loss is not finite; the checkpoint before it is kept.
            CheckpointError: there is no room; the checkpoint before is kept.
            UsageError: the task cannot be evaluated.
        """
        with writing(self._files.out):
            keep_losses_until(self._files.losses, self.standing.step)
        self._record.keep_until(self.standing.step)
        self._record.items, self._record.steps = self._batches.items, self.total
        write_record(self._record, self._files)
        self._memory.begin()
        if self._is_evaluated_at(self.standing.step):
            self._evaluate("validation")  # before any step; or the run was ended between checkpoint and this
        while self.standing.step < self.total:
            self.train_until(self._next_stop())
            if self._is_kept_at(self.standing.step):
                save_checkpoint(
                    self._files.checkpoint, self._run.run_id, self._step, self.standing, self._device
                )
            if self._is_evaluated_at(self.standing.step):
                self._evaluate("validation")
        self._evaluate("test")
        if self._run.keep_trained:
            save_trained(self._files.trained, self._step.model, {"run": self._run.model_dump_json()})
        self._files.checkpoint.unlink(missing_ok=True)

    def train_until(self, last: int) -> None:
        """Run the steps until so many are done, and read their losses.

        Raises:
            DivergedError: one is not finite; those before it are kept.
        """
        done = self.standing.step
        marks: list[Any] = [self._clock.mark()]
        tokens: list[int] = []
        for number in range(done, last):
            tokens.append(self._one_step(number))
            marks.append(self._clock.mark())
        self._clock.settle()
        found: list[StepLoss] = []
        spent, trained = self.standing.seconds, self.standing.tokens
        for index, loss in enumerate(self._losses.read()):
            spent += self._clock.between_ms(marks[index], marks[index + 1]) / 1e3
            trained += tokens[index]
            found.append((done + index + 1, loss, trained, spent))
        until = next((index for index, step in enumerate(found) if not math.isfinite(step[1])), len(found))
        self._note(found[:until])
        if until < len(found):
            raise DivergedError(found[until][0], found[until][1])

    def row(self, status: str = "ok", message: str = "") -> dict[str, Value]:
        """Return the columns that say where the run stands."""
        standing, memory = self.standing, self.standing.memory
        unreported = standing.unreported
        trained = (p.numel() for p in self._step.model.parameters() if p.requires_grad)
        return {
            "status": status,
            "message": message or None,
            "step": standing.step,
            "epoch": standing.step * self._run.items_per_step / self._batches.items,
            "tokens": standing.tokens,
            "seconds": standing.seconds,
            "train_loss": math.fsum(unreported) / len(unreported) if unreported else None,
            "metric_name": self._task.metric or None,
            "peak_allocated_bytes": memory.peak_allocated_bytes,
            "peak_reserved_bytes": memory.peak_reserved_bytes,
            "activation_bytes": memory.activation_bytes,
            "params_trainable": sum(trained),
        }

    def _one_step(self, number: int) -> int:
        """Run a step, counted from 0; return how many tokens it trained on."""
        run = self._run
        share = share_of_rate(number, self.total, schedule=run.schedule, warmup=run.warmup)
        set_rate(self._step.optimizer, share * run.learning_rate)
        first = number * run.cell.accumulation
        batches = [self._batches.micro_batch(first + more) for more in range(run.cell.accumulation)]
        last = batches[-1]
        with self._memory.looking(number, last.inputs, last.numbers) as observers:
            _step_on(self._step, batches).run((self._tracker, *observers))
        self._losses.end_step()
        return sum(batch.tokens for batch in batches)

    def _note(self, found: list[StepLoss]) -> None:
        """Keep what is known of steps that were in order."""
        if not found:
            return
        append_losses(self._files.losses, found)
        self.standing.step, _, self.standing.tokens, self.standing.seconds = found[-1]
        self.standing.unreported.extend(loss for _, loss, _, _ in found)

    def _next_stop(self) -> int:
        """The step until which nothing but steps is done."""
        done = self.standing.step
        stops = [done + MOST_UNREAD, self.total]
        for every in (self._run.evaluate_every, self._run.checkpoint_every):
            if every is not None:
                stops.append((done // every + 1) * every)
        return min(stops)

    def _is_evaluated_at(self, step: int) -> bool:
        every = self._run.evaluate_every
        return step == self.total or (every is not None and step % every == 0)

    def _is_kept_at(self, step: int) -> bool:
        every = self._run.checkpoint_every
        return self._is_evaluated_at(step) if every is None else step % every == 0 or step == self.total

    def _evaluate(self, split: Split) -> None:
        """Evaluate the model as it is, unless the record has it; training goes on as if it had not been."""
        if self._record.row_at(self.standing.step, split) is not None:
            self.standing.unreported.clear()
            return
        self._memory.pause()
        with own_random_numbers(self._run.seed, self._device):
            found = self._task.evaluate(
                self._step.model,
                split,
                batch=self._run.task.eval_batch or self._run.cell.batch,
                device=self._device,
            )
        self._memory.begin()
        self._record.rows.append(self._row_of(found, split))
        self.standing.unreported.clear()
        if found.outputs:
            _write_outputs(self._files, found, split, self.standing.step)
        write_record(self._record, self._files)

    def _row_of(self, found: Evaluation, split: Split) -> dict[str, Value]:
        notes = [*self._task.notes, *self._prepared.notes, *_skips(self._step.scaler), *_beside(self._record)]
        return {
            **self.row(message="; ".join(notes)),
            "split": split,
            "eval_loss": found.loss,
            "metric": found.metric,
            "items": found.items,
        }


def _step_on(step: TrainingStep, batches: list[MicroBatch]) -> TrainingStep:
    if len(batches) == 1:
        return replace(step, inputs=batches[0].inputs)
    return replace(step, micro_batches=[batch.inputs for batch in batches])


def _skips(scaler: LossScaler | None) -> list[str]:
    """What the reader must know of updates that a scaler skipped."""
    skipped = scaler.skipped() if scaler is not None else 0
    return [f"the loss scaler skipped {skipped} updates: a gradient was not finite"] if skipped else []


def _beside(record: RunRecord) -> list[str]:
    """What the reader must know of the seconds of a run that had no machine to itself."""
    if record.at_once == 1:
        return []
    return [f"{record.at_once} runs trained at once: seconds are not those of one alone"]


def _write_outputs(files: RunFiles, found: Evaluation, split: Split, step: int) -> None:
    correct: list[bool | None] = list(found.correct) or [None] * len(found.outputs)
    lines: Callable[[Any], str] = json.dumps
    text = "".join(
        lines({"step": step, "split": split, "item": item, "correct": was_right, "output": output}) + "\n"
        for item, (output, was_right) in enumerate(zip(found.outputs, correct, strict=True))
    )
    with writing(files.out):
        write_atomically(files.outputs, text)
