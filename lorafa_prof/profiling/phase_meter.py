"""Memory and times of the steps of any code, by phase: read where one phase ends and the next begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch.optim import Optimizer

from lorafa_prof.instruments.memory.allocator import AllocatorCounters
from lorafa_prof.instruments.memory.profile import Counters, PhaseMemory
from lorafa_prof.instruments.timing import Clock
from lorafa_prof.step import Phase


@dataclass
class MeteredStep:
    """What was read of one step.

    Attributes:
        phases: memory by phase, as of `PhaseMemory`; empty where nothing counts memory.
        held_bytes: allocated at a forward's end less at its start, of the micro-batch with most.
        attributed: whether instruments that cost time were on.
        backwards: how many backwards it had.
        start: the counters where it began.
        seen: its phases in their order.
        marks: of the clock, where each of them ended.
    """

    phases: dict[Phase, PhaseMemory] = field(default_factory=dict)
    held_bytes: int | None = None
    attributed: bool = False
    backwards: int = 0
    start: Counters | None = None
    seen: list[Phase] = field(default_factory=list)
    marks: list[tuple[Phase | None, Any]] = field(default_factory=list)

    @property
    def peak(self) -> Counters | None:
        """The largest of each counter over the step; None where nothing counts memory."""
        largest: Counters | None = None
        for memory in self.phases.values():
            largest = memory.peak if largest is None else largest.larger(memory.peak)
        return largest

    @property
    def peak_bytes(self) -> int | None:
        """The most that was allocated, less what was at its start."""
        peak = self.peak
        return None if peak is None or self.start is None else peak.allocated - self.start.allocated

    def phase_ms(self, clock: Clock) -> Mapping[Phase, float]:
        """Milliseconds by phase; call it after `clock.settle`."""
        told: dict[Phase, float] = {}
        for (_, before), (phase, mark) in zip(self.marks, self.marks[1:], strict=False):
            if phase is not None:
                told[phase] = told.get(phase, 0.0) + clock.between_ms(before, mark)
        return told


class PhaseMeter:
    """Told of a step's phases by `step_calls`; reads counters and clock at each.

    What runs between two phases belongs to the later one: loading a batch to forward, clipping to the
    optimizer. Its cost is that of reading the allocator's counters some five times a step.

    Args:
        counters: where memory is counted; None: nowhere.
        clock: what tells the time; None: nothing.
        replaced_bytes: of gradients that are there at the start and that the step makes anew: its own.
        splits: whether a step ends with its optimizer too, and not only where `step_ended` is called.

    Attributes:
        steps: those that have ended.
        largest: of each counter, over all that ran; None where nothing counts memory.
        phase: the phase under way.
        attributed: whether instruments that cost time are on, which is noted in each step.
    """

    def __init__(
        self,
        counters: AllocatorCounters | None,
        clock: Clock | None = None,
        replaced_bytes: int = 0,
        *,
        splits: bool = False,
    ) -> None:
        self.steps: list[MeteredStep] = []
        self.largest: Counters | None = None
        self.phase: Phase = "forward"
        self.attributed = False
        self.splits = splits
        self._counters = counters
        self._clock = clock
        if counters is not None:
            counters.reset_peaks()
        # Where the phase under way started, and where the forward did that it may be the end of.
        self._start = self._forward_start = (
            _less(counters.current(), replaced_bytes) if counters is not None else None
        )
        self._mark = clock.mark() if clock is not None else None
        self._step: MeteredStep | None = None

    @property
    def last(self) -> MeteredStep | None:
        """The last step that has ended, or whose optimizer has; None of none."""
        if self._step is not None and self._step.seen[-1:] == ["optimizer"]:
            return self._step
        return self.steps[-1] if self.steps else None

    def begin_here(self) -> bool:
        """Begin the first step here, and return True; where one has begun, do nothing."""
        if self._step is not None or self.steps:
            return False
        if self._counters is not None:
            self._start, peak = self._counters.read()
            self._forward_start = self._start
            self._keep_largest(peak)
            self._counters.reset_peaks()
        self._mark = self._clock.mark() if self._clock is not None else None
        return True

    def forward_ended(self) -> None:
        """Forward ends where backward is called; after an optimizer it was another step's."""
        if self.splits and self._step is not None and "optimizer" in self._step.seen:
            self._close()
        self._read("forward")
        self.phase = "backward"

    def backward_ended(self, keeps_graph: bool) -> None:
        """Another forward, or the optimizer, comes next; after one that keeps its graph the same forward."""
        self._read("backward")
        self.phase = "forward"
        if not keeps_graph:
            self._forward_start = self._start
            self._current().backwards += 1

    def optimizer_started(self, optimizer: Optimizer) -> None:
        """What came since backward belongs to its phase."""
        self.phase = "optimizer"

    def optimizer_ended(self) -> None:
        """The step may end here, or another optimizer follow."""
        self._read("optimizer")
        self.phase = "forward"
        self._forward_start = self._start

    def gradients_dropped(self, nbytes: int) -> None:
        """Gradients of the step before went: those that are made in their place are this step's."""
        if self._start is None or self._forward_start is None:
            return
        self._start, self._forward_start = _less(self._start, nbytes), _less(self._forward_start, nbytes)
        if self._step is not None and self._step.start is not None and not self._step.backwards:
            self._step.start = _less(self._step.start, nbytes)

    def step_ended(self) -> None:
        """End the step here.

        What follows its last phase is a part of that; but where no optimizer of PyTorch was seen, and memory
        was taken after backward, an update written by hand.
        """
        step = self._current()
        if not step.seen:
            self._read("forward")
        elif step.seen[-1] == "backward" and self._has_taken():
            self._read("optimizer")
        else:
            self._read(step.seen[-1])
        self._close()
        self._forward_start = self._start
        self.phase = "forward"

    def end(self) -> None:
        """End all; what ran after the last step's optimizer is no step."""
        if self._counters is not None:
            self._keep_largest(self._counters.peak())
        self.end_failed()
        if self._step is not None or not self.steps:
            self.step_ended()

    def end_failed(self) -> None:
        """End all where a step has failed: it is none."""
        if self.splits and self._step is not None and self._step.seen[-1:] == ["optimizer"]:
            self._close()

    def _current(self) -> MeteredStep:
        if self._step is None:
            self._step = MeteredStep(start=self._start, attributed=self.attributed)
            self._step.marks.append((None, self._mark))
        return self._step

    def _close(self) -> None:
        if self._step is not None:
            self.steps.append(self._step)
        self._step = None

    def _read(self, phase: Phase) -> None:
        step = self._current()
        step.attributed |= self.attributed
        if step.seen[-1:] != [phase]:
            step.seen.append(phase)
        if self._counters is not None and self._start is not None and self._forward_start is not None:
            start = self._forward_start if phase == "forward" else self._start
            now, peak = self._counters.read()
            self._keep_largest(peak)
            memory = PhaseMemory(start, now, peak)
            step.phases[phase] = memory.after(step.phases.get(phase))
            if phase == "forward":
                step.held_bytes = max(step.held_bytes or 0, now.allocated - start.allocated)
            self._counters.reset_peaks()
            self._start = now
        if self._clock is not None:
            self._mark = self._clock.mark()
            step.marks.append((phase, self._mark))

    def _has_taken(self) -> bool:
        """Whether memory was taken since the last phase."""
        if self._counters is None or self._start is None:
            return False
        return self._counters.peak().allocated > self._start.allocated

    def _keep_largest(self, peak: Counters) -> None:
        self.largest = peak if self.largest is None else self.largest.larger(peak)


def _less(counters: Counters, nbytes: int) -> Counters:
    """The counters as if so many bytes were not there."""
    if not nbytes:
        return counters
    return replace(counters, allocated=counters.allocated - nbytes, requested=counters.requested - nbytes)
