"""A digest of a step's requests to its allocator: one byte more or less anywhere gives another digest."""

from __future__ import annotations

import hashlib
from typing import Any

from lorafa_prof.devices.sim.mode import BlockSource
from lorafa_prof.step import Observer, Phase


class RequestDigest:
    """Hashes the requests of the last step, standing before the twin's memory and before an observer.

    The hash starts anew at each forward, so that building and warm-up are not in it.
    """

    def __init__(self, memory: BlockSource, observer: Observer) -> None:
        self._memory = memory
        self._observer = observer
        self._hash = hashlib.sha256()

    def malloc(self, requested_bytes: int) -> Any:
        """Return a block of at least `requested_bytes` from the memory, and hash the request."""
        self._hash.update(b"+%d" % requested_bytes)
        return self._memory.malloc(requested_bytes)

    def free(self, block: Any) -> None:
        """Give a block back to the memory, and hash that."""
        self._hash.update(b"-%d" % block.requested_bytes)
        self._memory.free(block)

    def phase_started(self, phase: Phase) -> None:
        """Start the hash anew if this is a forward, and notify the observer."""
        if phase == "forward":
            self._hash = hashlib.sha256()
        self._observer.phase_started(phase)

    def phase_ended(self, phase: Phase) -> None:
        """Notify the observer."""
        self._observer.phase_ended(phase)

    def hexdigest(self) -> str:
        """Return the digest of the requests since the last forward began, as 16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]
