"""Memory of one steady step by phase: the data, whoever measured it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lorafa_prof.step import PHASES, Observer, Phase


@dataclass(frozen=True)
class Counters:
    """Bytes by the caching allocator's own counters; None where there is no such allocator.

    `allocated` counts whole blocks, `requested` what was asked for; without blocks they are the same.
    """

    allocated: int
    requested: int
    active: int | None = None
    reserved: int | None = None


@dataclass(frozen=True)
class PhaseMemory:
    """At the start of a phase, at its end, and the peak of each counter within it."""

    start: Counters
    end: Counters
    peak: Counters


@dataclass(frozen=True)
class MemoryProfile:
    """One steady step.

    `num_alloc_retries` counts, over the whole process, how often the allocator had to give cached blocks
    back and try again; above 0 the row compares to no other.
    """

    phases: dict[Phase, PhaseMemory]
    gradients_bytes: int
    peak_reserved_bytes: int | None
    num_alloc_retries: int | None

    @property
    def static_bytes(self) -> int:
        """Allocated at the start of the step: weights, optimizer state, inputs."""
        return self.phases["forward"].start.allocated

    @property
    def activation_bytes(self) -> int:
        """Allocated at the end of forward less allocated at the start of the step."""
        return self.phases["forward"].end.allocated - self.static_bytes

    @property
    def activation_requested_bytes(self) -> int:
        """The same in bytes asked for, without what blocks have left over."""
        forward = self.phases["forward"]
        return forward.end.requested - forward.start.requested

    @property
    def peak_allocated_bytes(self) -> int:
        """Peak of allocated over the step."""
        return max(self.phases[phase].peak.allocated for phase in PHASES)


class MemoryMeter(Observer, Protocol):
    """Observes one step and yields its memory."""

    def profile(self) -> MemoryProfile:
        """What was measured; call after the step."""
