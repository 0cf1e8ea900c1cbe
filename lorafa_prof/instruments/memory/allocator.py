"""Memory of a step by the counters of a caching allocator, the GPU's or the twin's."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from lorafa_prof.instruments.memory.profile import Counters, MemoryProfile, PhaseMemory
from lorafa_prof.instruments.memory.storages import storage_bytes
from lorafa_prof.step import Phase


class AllocatorCounters(Protocol):
    """The counters that a meter reads of an allocator."""

    def current(self) -> Counters:
        """Return the bytes now."""

    def peak(self) -> Counters:
        """Return the largest bytes since the last `reset_peaks`."""

    def read(self) -> tuple[Counters, Counters]:
        """Return `current` and `peak` at the price of one."""

    def reset_peaks(self) -> None:
        """Set the peaks to the bytes now."""

    def num_alloc_retries(self) -> int | None:
        """Return how often cached blocks were given back to serve a request; None if nothing is cached."""


class AllocatorMeter:
    """Reads the allocator's counters when a phase starts and ends, and resets its peaks when one starts.

    The peak of reserved is of the whole process, so it is kept over the resets.
    """

    def __init__(self, counters: AllocatorCounters, model: nn.Module) -> None:
        self._counters = counters
        self._model = model
        self._phases: dict[Phase, PhaseMemory] = {}
        self._start: Counters | None = None
        self._gradients_bytes: int | None = None
        self._peak_reserved: int | None = None

    def phase_started(self, phase: Phase) -> None:
        """Note the counters, and let the peaks start here."""
        self._keep_reserved()
        self._counters.reset_peaks()
        self._start = self._counters.current()

    def phase_ended(self, phase: Phase) -> None:
        """Note the counters, and the peaks since the start of the phase."""
        assert self._start is not None
        memory = PhaseMemory(self._start, *self._counters.read())
        self._phases[phase] = memory.after(self._phases.get(phase))
        self._keep_reserved()
        if phase == "backward":
            grads = (p.grad for p in self._model.parameters() if p.grad is not None)
            self._gradients_bytes = storage_bytes(grads)

    def _keep_reserved(self) -> None:
        reserved = self._counters.peak().reserved
        if reserved is not None:
            self._peak_reserved = max(self._peak_reserved or 0, reserved)

    def profile(self) -> MemoryProfile:
        """Return the memory of the step that was observed."""
        self._keep_reserved()
        return MemoryProfile(
            phases=dict(self._phases),
            gradients_bytes=self._gradients_bytes,
            peak_reserved_bytes=self._peak_reserved,
            num_alloc_retries=self._counters.num_alloc_retries(),
        )
