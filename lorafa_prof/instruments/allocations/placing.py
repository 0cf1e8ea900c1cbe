"""The memory of a cell's twin, whose errors tell the module and the operation that they came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lorafa_prof.devices.sim.allocator import SimOutOfMemoryError
from lorafa_prof.devices.sim.mode import BlockSource, TwinMode
from lorafa_prof.instruments.module_path import ModulePaths


@dataclass(frozen=True)
class Placing:
    """The twin's memory, which adds module and operation to the error if memory runs out."""

    mode: TwinMode
    memory: BlockSource
    paths: ModulePaths

    def malloc(self, requested_bytes: int) -> Any:
        """Return a block of at least `requested_bytes`.

        Raises:
            SimOutOfMemoryError: the device has no room for it; the error names module and operation.
        """
        try:
            return self.memory.malloc(requested_bytes)
        except SimOutOfMemoryError as error:
            raise error.at(self.paths.path, str(self.mode.operation)) from None

    def free(self, block: Any) -> None:
        """Take a block back."""
        self.memory.free(block)
