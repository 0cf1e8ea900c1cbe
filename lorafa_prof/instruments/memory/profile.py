"""The memory of one step by phase, whichever device it was measured on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from lorafa_prof.step import Observer, Phase


@dataclass(frozen=True)
class Counters:
    """Bytes by the counters of the caching allocator; None where there is no such allocator.

    `allocated` counts whole blocks, `requested` what was asked for; without blocks they are the same.
    """

    allocated: int
    requested: int
    active: int | None = None
    reserved: int | None = None

    def larger(self, other: Counters) -> Counters:
        """Return the larger value of each counter; both are of one allocator."""
        return Counters(
            allocated=max(self.allocated, other.allocated),
            requested=max(self.requested, other.requested),
            active=_larger(self.active, other.active),
            reserved=_larger(self.reserved, other.reserved),
        )


def _larger(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


@dataclass(frozen=True)
class PhaseMemory:
    """The counters at the start of a phase, at its end, and their peaks within it.

    Where a step accumulates gradients over micro-batches, start and end are those of the phase's last
    micro-batch, and the peak is the largest over all of them.
    """

    start: Counters
    end: Counters
    peak: Counters

    def after(self, before: PhaseMemory | None) -> PhaseMemory:
        """Return a phase's memory over this micro-batch and those `before` it."""
        return self if before is None else replace(self, peak=self.peak.larger(before.peak))


@dataclass(frozen=True)
class StepMemory:
    """A step of a run: the length of its batch in tokens, and the counters over all its phases.

    With micro-batches, the start is that of the last one.
    """

    seq: int
    memory: PhaseMemory


@dataclass(frozen=True)
class MemoryProfile:
    """The memory of one steady training step, or of an evaluation.

    `gradients_bytes` is None where no backward ran. `steps` has each step of a run of different lengths.
    `num_alloc_retries` counts, over the whole process, how often the allocator had to give cached blocks
    back and try again; above 0 the row compares to no other.
    """

    phases: dict[Phase, PhaseMemory]
    gradients_bytes: int | None
    peak_reserved_bytes: int | None
    num_alloc_retries: int | None
    steps: tuple[StepMemory, ...] = ()

    @property
    def has_backward(self) -> bool:
        """Whether the step has a backward, for which its forward holds anything."""
        return "backward" in self.phases

    @property
    def static_bytes(self) -> int:
        """Bytes allocated at the start of the step: weights, optimizer state, inputs.

        With micro-batches, at the start of the last one: the gradients of those before it are there too.
        """
        return self.phases["forward"].start.allocated

    @property
    def activation_bytes(self) -> int:
        """The held bytes: allocated at the end of forward, less allocated at its start.

        The start of forward is the start of the step.
        """
        return self.phases["forward"].end.allocated - self.static_bytes

    @property
    def activation_requested_bytes(self) -> int:
        """`activation_bytes` counted in bytes asked for, without what blocks have left over."""
        forward = self.phases["forward"]
        return forward.end.requested - forward.start.requested

    @property
    def peak_allocated_bytes(self) -> int:
        """Peak of the allocated bytes over the step."""
        return max(memory.peak.allocated for memory in self.phases.values())


class MemoryMeter(Observer, Protocol):
    """An observer of one step that yields its memory."""

    def profile(self) -> MemoryProfile:
        """Return what was measured; call it after the step."""
