"""Memory of a run of several steps: of each step, and of all as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

from lorafa_prof.instruments.memory.allocator import AllocatorMeter
from lorafa_prof.instruments.memory.profile import Counters, MemoryProfile, PhaseMemory, StepMemory
from lorafa_prof.step import Phase


class RunMeter:
    """A meter of each step of a run, of which the last phase is "optimizer".

    Args:
        make_meter: returns a meter of one step.
        lengths: of the steps' batches, in tokens.
    """

    def __init__(self, make_meter: Callable[[], AllocatorMeter], lengths: Sequence[int]) -> None:
        self._make_meter = make_meter
        self._lengths = tuple(lengths)
        self._meter: AllocatorMeter | None = None
        self._profiles: list[MemoryProfile] = []

    def phase_started(self, phase: Phase) -> None:
        """Note the counters; the first phase of a step begins with a meter of its own."""
        if self._meter is None:
            self._meter = self._make_meter()
        self._meter.phase_started(phase)

    def phase_ended(self, phase: Phase) -> None:
        """Note the counters, and the peaks since the start of the phase."""
        assert self._meter is not None
        self._meter.phase_ended(phase)
        if phase == "optimizer":
            # At once: what runs after the run is none of it.
            self._profiles.append(self._meter.profile())
            self._meter = None

    def profile(self) -> MemoryProfile:
        """Return the memory of the run.

        Start and end of phases are those of the longest step, of several the first; peaks are the largest of
        all steps, that of reserved memory too. Retries are those of the process until now.
        """
        profiles = self._profiles
        told = profiles[self._lengths.index(max(self._lengths))]
        peaks = {phase: [p.phases[phase].peak for p in profiles] for phase in told.phases}
        reserved = [p.peak_reserved_bytes for p in profiles if p.peak_reserved_bytes is not None]
        return replace(
            told,
            phases={
                phase: replace(memory, peak=_largest(peaks[phase])) for phase, memory in told.phases.items()
            },
            peak_reserved_bytes=max(reserved, default=None),
            num_alloc_retries=self._make_meter().profile().num_alloc_retries,
            steps=tuple(map(_step_memory, self._lengths, profiles)),
        )


def _largest(peaks: Sequence[Counters]) -> Counters:
    return reduce(Counters.larger, peaks)


def _step_memory(length: int, profile: MemoryProfile) -> StepMemory:
    phases = list(profile.phases.values())
    peak = _largest([phase.peak for phase in phases])
    return StepMemory(length, PhaseMemory(phases[0].start, phases[-1].end, peak))
