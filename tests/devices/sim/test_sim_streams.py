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


def test_memory_of_a_second_stream_is_refused() -> None:
    with Twin(GPUS["h100-80gb"]):
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.stream(None):
            torch.empty(1000, device="cuda")
        with (
            torch.cuda.stream(torch.cuda.Stream()),
            pytest.raises(LorafaProfError, match="4,000 B are asked for on a second CUDA stream"),
        ):
            torch.empty(1000, device="cuda")
        torch.empty(1000, device="cuda")
