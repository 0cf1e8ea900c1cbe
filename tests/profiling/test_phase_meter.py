"""The meter of steps, told of their phases by hand."""

from __future__ import annotations

from lorafa_prof.instruments.memory.profile import Counters
from lorafa_prof.profiling.phase_meter import PhaseMeter


class CountedLooks:
    """Counters of an allocator that takes a byte at each look, and how often they were looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def current(self) -> Counters:
        return self.read()[0]

    def peak(self) -> Counters:
        return self.read()[1]

    def read(self) -> tuple[Counters, Counters]:
        self.looks += 1
        return Counters(self.looks, self.looks), Counters(self.looks + 10, self.looks + 10)

    def reset_peaks(self) -> None:
        pass

    def num_alloc_retries(self) -> int:
        return 0


def test_the_counters_are_looked_at_once_where_a_phase_ends() -> None:
    """A look costs the host tens of microseconds on a GPU, which short steps do not hide."""
    counters = CountedLooks()
    meter = PhaseMeter(counters, splits=True)
    meter.begin_here()
    before = counters.looks
    meter.forward_ended()
    meter.backward_ended(False)
    meter.optimizer_ended()
    assert counters.looks - before == 3
    step = meter.last
    assert step is not None
    assert step.phases["forward"].peak.allocated == before + 11
    assert step.phases["optimizer"].end.allocated == before + 3
    assert meter.largest is not None
    assert meter.largest.allocated == before + 13
