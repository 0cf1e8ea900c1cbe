"""CUDA streams and events on the twin: there is no clock, so all that they order is done already.

What is left of a stream is its memory: the allocator keeps what is taken on each stream for that stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from lorafa_prof.devices.sim.allocator import CachingAllocator


class TwinEvent:
    """A CUDA event, which has always happened."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def record(self, stream: Any = None) -> None:
        """Do nothing."""

    def wait(self, stream: Any = None) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Do nothing."""

    def query(self) -> bool:
        """Return that it has happened."""
        return True


class TwinStream:
    """A CUDA stream, in which everything is done.

    Attributes:
        number: tells it from others; the first one computes.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def wait_stream(self, stream: Any) -> None:
        """Do nothing."""

    def wait_event(self, event: Any) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Do nothing."""

    def record_event(self, event: Any = None) -> TwinEvent:
        """Return an event that has happened."""
        return TwinEvent()


def answers_on_streams(allocator: CachingAllocator) -> dict[str, Callable[..., Any]]:
    """Return what stands for `torch.cuda`'s streams and events, of a device whose memory `allocator` has."""
    numbers = count()
    computing = TwinStream(next(numbers))
    entered = [computing]

    @contextmanager
    def stream(chosen: TwinStream | None) -> Iterator[None]:
        if chosen is None:
            yield
            return
        entered.append(chosen)
        allocator.stream = chosen.number
        try:
            yield
        finally:
            entered.pop()
            allocator.stream = entered[-1].number

    class Stream(TwinStream):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(next(numbers))

    return {
        "Stream": Stream,
        "Event": TwinEvent,
        "current_stream": lambda device=None: entered[-1],
        "default_stream": lambda device=None: computing,
        "stream": stream,
    }
