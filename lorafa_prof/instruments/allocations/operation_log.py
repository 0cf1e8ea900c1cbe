"""A log of every operation of a run: its place, and the allocator events between which it ran."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.parallel.local import has_sharded
from lorafa_prof.step import Phase, PhaseTracker


@dataclass(slots=True)
class LoggedOperation:
    """An operation, its place in the run, and the allocator events between which it ran.

    Attributes:
        step: 0 for building, then counted from 1.
        phase: "build", "forward", "backward" or "optimizer".
        module: path of the module; empty outside of all modules.
        name: its name, such as ``aten.mm.default``.
        start: how many events the allocator had counted before the operation.
        end: how many it had counted after the operation.
    """

    step: int
    phase: str
    module: str
    name: str
    start: int
    end: int


class OperationLog(TorchDispatchMode):
    """A dispatch mode and observer of steps that logs every operation.

    Args:
        position: returns how many events the allocator has counted.

    Attributes:
        operations: the logged operations, in their order.
        end: `position` when the mode was left.
    """

    def __init__(self, position: Callable[[], int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[LoggedOperation] = []
        self._tracker = PhaseTracker()
        self.end = 0
        self._position = position
        self._paths: ModulePaths | None = None
        self._hooks = ExitStack()

    def watch(self, model: nn.Module) -> None:
        """From now on log the module of `model` that each operation belongs to."""
        self._paths = self._hooks.enter_context(ModulePaths(model))

    def __exit__(self, *exc: Any) -> None:
        self.end = self._position()
        self._hooks.close()
        super().__exit__(*exc)  # type: ignore[no-untyped-call]

    def phase_started(self, phase: Phase) -> None:
        """Count operations into this phase from now on."""
        self._tracker.phase_started(phase)
        if self._paths is not None:
            self._paths.phase_started(phase)

    def phase_ended(self, phase: Phase) -> None:
        """Leave the phase as it is: what comes before the next phase still belongs to this one."""
        if self._paths is not None:
            self._paths.phase_ended(phase)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and log it; of a sharded tensor, what of it runs on this rank."""
        if has_sharded(types):
            return NotImplemented
        module = self._paths.path if self._paths is not None else ""
        start = self._position()
        operation = LoggedOperation(self._tracker.step, self._tracker.phase, module, str(func), start, start)
        self.operations.append(operation)
        result = func(*args, **(kwargs or {}))
        operation.end = self._position()
        return result
