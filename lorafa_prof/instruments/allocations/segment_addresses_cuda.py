"""Recording where CUDA's driver puts the allocator's segments, which changes from run to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: More than any run has: the history is a ring, and what falls out of it would be missed.
MAX_EVENTS = 10_000_000


@contextmanager
def segment_addresses() -> Iterator[list[int]]:
    """A context whose list has, when it is left, the address of each segment made in it, in their order.

    Only the allocator keeps a history, on the host and without stacks: nothing else runs than without it.
    """
    torch.cuda.init()
    addresses: list[int] = []
    torch.cuda.memory._record_memory_history("all", context=None, stacks="python", max_entries=MAX_EVENTS)
    try:
        yield addresses
    finally:
        trace = torch.cuda.memory._snapshot()["device_traces"][torch.cuda.current_device()]
        addresses += [event["addr"] for event in trace if event["action"] == "segment_alloc"]
        torch.cuda.memory._record_memory_history(None)
