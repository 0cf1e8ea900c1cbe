"""Counters of several micro-batches in one."""

from __future__ import annotations

from lorafa_prof.instruments.memory.profile import Counters, PhaseMemory


def phase(start: int, end: int, peak: Counters) -> PhaseMemory:
    return PhaseMemory(Counters(start, start), Counters(end, end), peak)


def test_start_and_end_are_the_last_ones_and_each_counters_peak_is_the_largest() -> None:
    first = phase(1, 2, Counters(allocated=9, requested=4, active=8, reserved=10))
    second = phase(3, 4, Counters(allocated=7, requested=6, active=9, reserved=5))
    assert second.after(first) == phase(3, 4, Counters(allocated=9, requested=6, active=9, reserved=10))
    assert first.after(None) == first


def test_counters_that_are_not_there_stay_unknown() -> None:
    assert Counters(1, 2).larger(Counters(3, 0)) == Counters(3, 2, None, None)
