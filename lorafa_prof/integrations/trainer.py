"""A callback for transformers' `Trainer`, and for those made of it, such as TRL's `SFTTrainer`."""

from __future__ import annotations

from typing import Any

import transformers

from lorafa_prof.integrations.profiling_callback import ProfilingCallback


class TrainerCallback(ProfilingCallback, transformers.TrainerCallback):
    """Profiles the training of a `Trainer`: a row every so many steps, and a report at the end.

    Usage::

        profiled = TrainerCallback(every=10, out="out/mine")
        Trainer(..., callbacks=[profiled]).train()
        print(profiled.result.table())

    What an evaluation between two steps takes belongs to the forward after it; one without training is not
    profiled. Of several trainings the last is told, also of those that `auto_find_batch_size` makes. After a
    training that failed, make another callback, or train again with this one: its hooks are off then only.
    Of several processes each has its own rows and result, and the first writes and prints.

    Args:
        every: a row is logged every so many steps, to whatever `report_to` is on.
        out: the folder in which it is kept at the end; None: nowhere.
        attribute: whether to attribute the first step: its saved tensors and FLOPs.
        log: whether rows go to the trainer's log. They are written to stdout as its own are.
        show: whether the table is printed at the end.
        name: what it is called in tables; "": the model's class.

    Attributes:
        rows: those of every so many steps, by the trainer's number of the step.

    Raises:
        UsageError: `every` is below 1.
    """

    _pending: dict[str, float] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Begin."""
        self.rows.clear()
        self._run.start(model)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
        """Keep the row of this step if it is one of the every so many, and have the trainer log."""
        if row := self._run.row(state.global_step):
            self.rows[state.global_step] = row
            if self._log:
                self._pending = {**(self._pending or {}), **row}
                control.should_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        """Add the row to what the trainer logs: those who write it come after this callback or before it."""
        if logs is not None and self._pending:
            logs |= self._pending
            self._pending = None

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """End, and tell."""
        first = state.is_world_process_zero
        found = self._run.end(keeps=first)
        if found is not None and self._show and first:
            print(found.table())
