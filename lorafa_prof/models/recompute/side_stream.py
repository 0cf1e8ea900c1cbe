"""Copies beside what computes: on a stream of their own, where the device has streams."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class SideStream:
    """A stream for copies from and to a device, which run one after the other, in the order of the calls.

    Memory is never taken on it: tensors on the device belong to the stream that computes, and whoever has one
    copied keeps it until that stream has waited for the copy. So the allocator knows of no second stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream() if device.type == "cuda" else None

    def copy(self, source: Tensor, target: Tensor) -> Any:
        """Copy, once what was asked of the computing stream is done; return an event for `wait_for`."""
        if self._stream is None:
            target.copy_(source)
            return None
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
        return self._stream.record_event()

    def wait_for(self, event: Any) -> None:
        """Let the computing stream wait for the copy of this event; the host goes on."""
        if event is not None:
            torch.cuda.current_stream().wait_event(event)
