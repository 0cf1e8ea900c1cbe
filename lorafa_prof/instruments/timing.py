"""Timing steps, in a pass of its own in which nothing else observes."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from lorafa_prof.step import Phase, Step


@dataclass(frozen=True)
class StepTimes:
    """Milliseconds of each timed step, whole and by phase, in the order they ran.

    A phase that runs once for each of several micro-batches has the sum of its times.
    """

    step_ms: tuple[float, ...]
    phase_ms: dict[Phase, tuple[float, ...]]

    def step_percentile(self, percent: float) -> float:
        """Return a percentile of the step's time, in ms."""
        return float(np.percentile(self.step_ms, percent))

    def phase_median(self, phase: Phase) -> float:
        """Return the median of a phase's time, in ms."""
        return float(np.median(self.phase_ms[phase]))


class Clock(Protocol):
    """Takes marks in the course of a step, and later returns the milliseconds between them."""

    def mark(self) -> Any:
        """Return a mark at this point, on the device's own time line."""

    def between_ms(self, start: Any, end: Any) -> float:
        """Return the milliseconds from `start` to `end`; call it after `settle`."""

    def settle(self) -> None:
        """Wait until all marks have been reached."""


class HostClock:
    """The host's monotonic clock, for devices on which operations are done when they return."""

    def mark(self) -> float:
        """Return the time now, in seconds."""
        return time.perf_counter()

    def between_ms(self, start: float, end: float) -> float:
        """Return the milliseconds from `start` to `end`."""
        return (end - start) * 1e3

    def settle(self) -> None:
        """Do nothing: on the host all marks have been reached."""


class CudaClock:
    """CUDA events: recorded into the stream, so the host may run ahead as it does in real training."""

    def mark(self) -> torch.cuda.Event:
        """Return an event at this point of the current stream."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between_ms(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """Return the milliseconds from `start` to `end`."""
        return float(start.elapsed_time(end))

    def settle(self) -> None:
        """Wait for the device."""
        torch.cuda.synchronize()


@dataclass
class PhaseMarks:
    """An observer that marks the start of each step and the end of each phase."""

    clock: Clock
    starts: list[Any] = field(default_factory=list)
    ends: list[list[tuple[Phase, Any]]] = field(default_factory=list)
    _within_step: bool = field(default=False, init=False)

    def phase_started(self, phase: Phase) -> None:
        """Mark the start of a step; a later phase starts where the one before it ended."""
        if not self._within_step:
            self._within_step = True
            self.ends.append([])
            self.starts.append(self.clock.mark())

    def phase_ended(self, phase: Phase) -> None:
        """Mark the end of the phase."""
        self.ends[-1].append((phase, self.clock.mark()))
        if phase == "optimizer":
            self.step_ended()

    def step_ended(self) -> None:
        """Let the next phase be the first of another step, as it is after an optimizer phase."""
        self._within_step = False


def time_steps(step: Step, count: int, clock: Clock) -> StepTimes:
    """Run `step` so often and return the times of each time, or of each step if it is a run of several.

    The device is synchronised before the first and after the last only.
    """
    clock.settle()
    marks = PhaseMarks(clock)
    for _ in range(count):
        step.run((marks,))
        marks.step_ended()
    clock.settle()
    step_ms: list[float] = []
    phase_ms: dict[Phase, list[float]] = {}
    for start, ends in zip(marks.starts, marks.ends, strict=True):
        before = start
        within: dict[Phase, float] = defaultdict(float)
        for phase, end in ends:
            within[phase] += clock.between_ms(before, end)
            before = end
        for phase, ms in within.items():
            phase_ms.setdefault(phase, []).append(ms)
        step_ms.append(clock.between_ms(start, before))
    return StepTimes(tuple(step_ms), {phase: tuple(times) for phase, times in phase_ms.items()})
