"""CUDA streams and events on the twin: there is no clock, so all that they order is done already.

The model of the allocator knows one stream. Copies on another take no memory; what would take some there is
an error, for its block would come of another pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.models.replaced import replaced


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
    """A CUDA stream, in which everything is done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

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
    computing = TwinStream()

    @contextmanager
    def stream(chosen: Any) -> Iterator[None]:
        beside = chosen is not None and chosen is not computing
        with replaced(allocator, {"malloc": _refuse} if beside else {}):
            yield

    return {
        "Stream": TwinStream,
        "Event": TwinEvent,
        "current_stream": lambda device=None: computing,
        "default_stream": lambda device=None: computing,
        "stream": stream,
    }


def _refuse(requested_bytes: int) -> Any:
    raise LorafaProfError(
        f"{requested_bytes:,} B are asked for on a second CUDA stream, and the twin's allocator knows one; "
        "take the memory before the stream is entered"
    )
