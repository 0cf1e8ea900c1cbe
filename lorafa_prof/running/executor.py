"""Where the cells of a sweep run: on this machine, or on a cluster. A sweep knows nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.results.record import CellResult


@dataclass(frozen=True)
class Orders:
    """What a sweep tells whoever runs its cells.

    Attributes:
        log_of: where the log of a cell's process is to be, on the caller's side.
        timeout_s: limit for one cell, once it runs; None: none.
        go_on: whether another cell may start, now.
        starting: to be told of each cell just before it starts.
    """

    log_of: Callable[[Cell], Path]
    timeout_s: float | None
    go_on: Callable[[], bool]
    starting: Callable[[Cell], None]

    def may_start(self, cell: Cell) -> bool:
        """Whether `cell` may start; if so it is to start at once."""
        if not self.go_on():
            return False
        self.starting(cell)
        return True


class Executor(Protocol):
    """Runs cells, each in a process of its own (`worker.run_cell`), wherever that is."""

    def resolve_device(self, device: str, gpu: str) -> ResolvedDevice:
        """Return where a cell with this `device` and `gpu` of a scenario runs.

        Raises:
            UsageError: it cannot run there.
        """
        ...

    def results(self, cells: Sequence[Cell], orders: Orders) -> Iterator[CellResult]:
        """Run `cells` in this order and yield their results as they come.

        They are all predicted or all measured. Those that may not start have no result. Where the caller
        leaves early, by an interrupt or an error, what runs is ended.
        """
        ...
