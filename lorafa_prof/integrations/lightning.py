"""A callback for Lightning's `Trainer`, of the package `lightning` or of `pytorch_lightning`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.integrations.profiling_callback import ProfilingCallback


def _callback() -> Any:
    """The class that callbacks are made of: of the package that is loaded already, else of any.

    Raises:
        UsageError: there is neither.
    """
    names = [name for name in ("lightning", "pytorch_lightning") if find_spec(name) is not None]
    for name in sorted(names, key=lambda name: name not in sys.modules):
        if name == "lightning":
            from lightning.pytorch import Callback

            return Callback
        from pytorch_lightning import Callback as OfPytorchLightning

        return OfPytorchLightning
    raise UsageError("LightningCallback needs Lightning: pip install lightning")


_Callback: Any = _callback()


class LightningCallback(ProfilingCallback, _Callback):  # type: ignore[misc]
    """Profiles the training of a Lightning `Trainer`: a row every so many steps, and a report at the end.

    Usage::

        profiled = LightningCallback(every=10, out="out/mine")
        Trainer(..., callbacks=[profiled]).fit(module, loader)
        print(profiled.result.table())

    What Lightning checks before training (`num_sanity_val_steps`) is before the first step.

    Args:
        every: a row is logged every so many steps, to whatever loggers the trainer has.
        out: the folder in which it is kept at the end; None: nowhere.
        attribute: whether to attribute the first step: its saved tensors and FLOPs.
        log: whether rows go to the trainer's loggers.
        show: whether the table is printed at the end.
        name: what it is called in tables; "": the module's class.

    Attributes:
        rows: those of every so many steps, by step.

    Raises:
        UsageError: `every` is below 1.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin."""
        self.rows.clear()
        self._run.start(pl_module)

    def on_train_batch_end(self, trainer: Any, *others: Any) -> None:
        """Keep the row of this step, once of all its micro-batches, and give it to the loggers."""
        step = trainer.global_step
        if step in self.rows or not (row := self._run.row(step)):
            return
        self.rows[step] = row
        if self._log:
            for logger in trainer.loggers:
                logger.log_metrics(row, step=step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End, and tell."""
        found = self._run.end(keeps=trainer.is_global_zero)
        if found is not None and self._show and trainer.is_global_zero:
            print(found.table())

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End: what ran until then is kept, and where memory ran out is told."""
        self._run.end(exception, keeps=trainer.is_global_zero)
