"""Streams, events and copies to the host on the twin."""

from __future__ import annotations

import pytest
import torch

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import LorafaProfError


def test_a_copy_on_a_second_stream_takes_no_memory() -> None:
    with Twin(GPUS["h100-80gb"]) as twin:
        x = torch.zeros(1000, device="cuda")
        host = torch.empty(1000, device="meta")
        side = torch.cuda.Stream()
        before = twin.allocator.allocated.current
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            host.copy_(x, non_blocking=True)
            x.copy_(host, non_blocking=True)
        torch.cuda.current_stream().wait_event(side.record_event())
        assert side.record_event().query()
        assert twin.allocator.allocated.current == twin.allocator.allocated.peak == before
        # Its values came from the host's memory, which has none.
        with pytest.raises(LorafaProfError, match="reads a value of a floating-point tensor"):
            x.sum().item()


def test_a_second_stream_takes_what_it_freed_and_nothing_of_the_first() -> None:
    with Twin(GPUS["h100-80gb"]) as twin:
        side = torch.cuda.Stream()
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.stream(None):
            first = _address(twin, torch.empty(1000, device="cuda"))
        with torch.cuda.stream(side):
            assert torch.cuda.current_stream() is side
            second = _address(twin, torch.empty(1000, device="cuda"))
            assert _address(twin, torch.empty(1000, device="cuda")) == second
        assert first != second
        assert _address(twin, torch.empty(1000, device="cuda")) == first
        assert sorted(segment.stream for segment in twin.allocator.segments()) == [0, side.number]
        twin.allocator.empty_cache()
        assert twin.allocator.reserved.current == 0


def test_what_a_stream_took_goes_back_to_it_wherever_it_is_freed() -> None:
    with Twin(GPUS["h100-80gb"]) as twin:
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            tensor = torch.empty(1000, device="cuda")
        address = twin.mode.block_of(tensor).address
        del tensor
        assert _address(twin, torch.empty(1000, device="cuda")) != address
        with torch.cuda.stream(side):
            assert _address(twin, torch.empty(1000, device="cuda")) == address


def _address(twin: Twin, tensor: torch.Tensor) -> int:
    address: int = twin.mode.block_of(tensor).address
    return address
