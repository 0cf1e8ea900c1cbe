"""A digest of what a step asks its allocator for: one byte more or less anywhere is another digest."""

from __future__ import annotations

import hashlib
from typing import Any

from lorafa_prof.devices.sim.mode import BlockSource
from lorafa_prof.step import Observer, Phase


class RequestDigest:
    """Stands before the twin's memory, and before an observer of its steps.

    It is of the last step, from its last forward on, so that warm-up and building do not matter.
    """

    def __init__(self, memory: BlockSource, observer: Observer) -> None:
        self._memory = memory
        self._observer = observer
        self._hash = hashlib.sha256()

    def malloc(self, requested_bytes: int) -> Any:
        """As the memory does."""
        self._hash.update(b"+%d" % requested_bytes)
        return self._memory.malloc(requested_bytes)

    def free(self, block: Any) -> None:
        """As the memory does."""
        self._hash.update(b"-%d" % block.requested_bytes)
        self._memory.free(block)

    def phase_started(self, phase: Phase) -> None:
        """Start anew with forward."""
        if phase == "forward":
            self._hash = hashlib.sha256()
        self._observer.phase_started(phase)

    def phase_ended(self, phase: Phase) -> None:
        """Nothing to note."""
        self._observer.phase_ended(phase)

    def hexdigest(self) -> str:
        """Of the requests since then; 16 digits."""
        return self._hash.hexdigest()[:16]
