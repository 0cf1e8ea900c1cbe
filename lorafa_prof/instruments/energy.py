"""Board energy of a timed pass, from NVML's energy counter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from lorafa_prof.instruments.nvml import NvmlDevice, Unavailable

MINIMUM_SECONDS = 2.0
"""Shortest window that is reported: the counter ticks about every 100 ms, at both ends of the window."""


@dataclass(frozen=True)
class EnergyReading:
    """Energy of the board over a window, in joules, and the window's seconds.

    Memory and fans are included, the host is not.
    """

    joules: float
    seconds: float


class EnergyWindow:
    """Energy between entering and leaving a `with` block; `reading` holds it afterwards.

    The work must be finished when the block ends: synchronise the device as the block's last act, otherwise
    queued kernels run, and draw power, outside the window.

    Args:
        device: an open device, or why there is none.
        clock: returns the time in seconds.

    Attributes:
        reading: the energy, or why there is none: no NVML, no counter, a window under 2 s, a failed pass.
    """

    def __init__(
        self, device: NvmlDevice | Unavailable, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._device = device
        self._clock = clock
        self._start_mj: int | Unavailable = Unavailable("the energy window was not entered")
        self._start_s = 0.0
        self.reading: EnergyReading | Unavailable = Unavailable("the energy window has not ended")

    def __enter__(self) -> EnergyWindow:
        self._start_mj = self._counter()
        self._start_s = self._clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = self._clock() - self._start_s
        end_mj = self._counter()
        if kind is not None:
            self.reading = Unavailable(f"the pass ended in {kind.__name__}")
        else:
            self.reading = _between(self._start_mj, end_mj, seconds)

    def _counter(self) -> int | Unavailable:
        return self._device if isinstance(self._device, Unavailable) else self._device.energy_mj()


def _between(
    start_mj: int | Unavailable, end_mj: int | Unavailable, seconds: float
) -> EnergyReading | Unavailable:
    if isinstance(start_mj, Unavailable):
        return start_mj
    if isinstance(end_mj, Unavailable):
        return end_mj
    if seconds < MINIMUM_SECONDS:
        return Unavailable(
            f"the timed pass took {seconds:.2f} s; energy needs {MINIMUM_SECONDS:g} s: time more steps"
        )
    if end_mj <= start_mj:
        return Unavailable("the energy counter did not advance during the pass")
    return EnergyReading(joules=(end_mj - start_mj) / 1000, seconds=seconds)
