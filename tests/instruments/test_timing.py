"""Times are the differences of marks: phases follow one another, and nothing else looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from toy_step import toy_step

from lorafa_prof.instruments.timing import HostClock, PhaseMarks, StepTimes, time_steps
from lorafa_prof.step import PHASES, Observer, TrainingStep


class ScriptedClock:
    """Its marks are given; `calls` is what was asked of it, in order."""

    def __init__(self, marks: Iterable[float]) -> None:
        self._marks = iter(marks)
        self.calls: list[str] = []

    def mark(self) -> float:
        self.calls.append("mark")
        return next(self._marks)

    def between_ms(self, start: float, end: float) -> float:
        self.calls.append("between")
        return end - start

    def settle(self) -> None:
        self.calls.append("settle")


def test_phases_and_steps_are_told_apart() -> None:
    # Start, end of forward, of backward, of optimizer; with 4 ms between the steps, which belong to none.
    clock = ScriptedClock([0, 1, 3, 6, 10, 12, 13, 20])
    times = time_steps(toy_step("cpu"), 2, clock)
    assert times.step_ms == (6, 10)
    assert times.phase_ms == {"forward": (1, 2), "backward": (2, 1), "optimizer": (3, 7)}


def test_times_of_micro_batches_add_up_to_their_phase() -> None:
    # Forward and backward twice, then the optimizer; 1 ms between the steps.
    clock = ScriptedClock([0, 1, 3, 4, 7, 9, 10, 12, 13, 16, 18, 24])
    times = time_steps(replace(toy_step("cpu"), accumulation=2), 2, clock)
    assert times.step_ms == (9, 14)
    assert times.phase_ms == {"forward": (2, 5), "backward": (5, 3), "optimizer": (2, 6)}


def test_the_device_is_waited_for_first_and_last_only() -> None:
    clock = ScriptedClock(range(12))
    time_steps(toy_step("cpu"), 3, clock)
    before_reading = [call for call in clock.calls if call != "between"]
    assert before_reading == ["settle", *["mark"] * 12, "settle"]
    assert clock.calls.index("between") > clock.calls.index("settle", 1)


@pytest.mark.parametrize(("percent", "expected"), [(0, 10), (5, 12), (50, 30), (95, 48), (100, 50)])
def test_percentiles_interpolate(percent: float, expected: float) -> None:
    times = StepTimes((50, 10, 40, 20, 30), dict.fromkeys(PHASES, (1, 5, 3)))
    assert times.step_percentile(percent) == pytest.approx(expected)
    assert times.phase_median("backward") == 3


def test_marks_are_the_only_observers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[type]] = []
    run = TrainingStep.run

    def spy(step: TrainingStep, observers: Sequence[Observer] = ()) -> None:
        seen.append([type(observer) for observer in observers])
        run(step, observers)

    monkeypatch.setattr(TrainingStep, "run", spy)
    time_steps(toy_step("cpu"), 2, HostClock())
    assert seen == [[PhaseMarks]] * 2


def test_the_steps_really_run() -> None:
    step = toy_step("cpu")
    before: Any = step.model.weight.clone()  # type: ignore[operator]
    time_steps(step, 1, HostClock())
    assert not before.equal(step.model.weight)


def test_the_host_clock_goes_forward_and_counts_milliseconds() -> None:
    clock = HostClock()
    marks = [clock.mark() for _ in range(100)]
    assert marks == sorted(marks)
    clock.settle()
    assert clock.between_ms(1.5, 1.75) == 250


def test_real_phases_add_up_to_their_steps() -> None:
    times = time_steps(toy_step("cpu"), 3, HostClock())
    for index, step_ms in enumerate(times.step_ms):
        assert sum(times.phase_ms[phase][index] for phase in PHASES) == pytest.approx(step_ms)
