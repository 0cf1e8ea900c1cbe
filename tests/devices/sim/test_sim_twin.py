"""The twin as a whole: a GPU's allocator behind PyTorch on `meta`, from the first weight on."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ledger import on_meta
from torch import nn

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.devices.sim.twin import CONTEXT_OF, Twin, allocator_capacity, settings_of_environment
from lorafa_prof.errors import UsageError

H100, T4 = GPUS["h100-80gb"], GPUS["t4"]
MIB = 1 << 20


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)


def test_what_runs_inside_takes_blocks_of_the_allocator() -> None:
    with Twin(H100) as twin:
        x = on_meta(300)
        assert (twin.allocator.requested.current, twin.allocator.allocated.current) == (1200, 1536)
        assert twin.allocator.reserved.current == 2 * MIB
        del x
        assert (twin.allocator.allocated.current, twin.allocator.reserved.current) == (0, 2 * MIB)


def test_what_runs_outside_does_not() -> None:
    twin = Twin(H100)
    before = torch.empty(300)
    with twin:
        inside = on_meta(300)
    after = torch.empty(300)
    assert twin.allocator.requested.peak == 1200
    assert len({tensor.untyped_storage()._cdata for tensor in (before, inside, after)}) == 3
    del inside
    assert twin.allocator.requested.current == 0


def test_weights_are_not_drawn() -> None:
    with Twin(H100):
        weight = nn.init.normal_(torch.zeros(3))
    assert weight.tolist() == [0, 0, 0]
    assert nn.init.ones_(weight).tolist() == [1, 1, 1]


def test_one_gpus_workspace_is_not_anothers() -> None:
    held = []
    for gpu in (H100, T4):
        with Twin(gpu) as twin:
            x = on_meta(4, 4)
            y = x @ x
            held.append(twin.allocator.requested.current - x.nbytes - y.nbytes)
            del x, y
    assert held == [32 * MIB, 8 * MIB + (128 << 10)]


def test_what_the_allocator_can_get() -> None:
    assert H100.memory_bytes is not None
    assert H100.context_bytes is not None
    assert allocator_capacity(H100) == H100.memory_bytes - H100.context_bytes
    assert T4.memory_bytes is not None
    assert T4.context_bytes is None
    assert allocator_capacity(T4) == T4.memory_bytes - (GPUS[CONTEXT_OF].context_bytes or 0)
    assert {allocator_capacity(gpu) for gpu in GPUS.values() if gpu.memory_bytes is None} == {None}


def test_more_than_that_is_out_of_memory() -> None:
    capacity = allocator_capacity(T4)
    assert capacity is not None
    with Twin(T4) as twin:
        most = on_meta(capacity // (2 * MIB) * 2 * MIB, dtype=torch.uint8)
        with pytest.raises(
            SimOutOfMemoryError, match=r"CUDA out of memory\. Tried to allocate 2\.00 MiB"
        ) as error:
            on_meta(1)
        assert error.value.reserved_bytes == most.nbytes
        assert twin.allocator.num_ooms == 1
        del most
        assert on_meta(1).shape == (1,)


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_settings_are_those_of_pytorch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of_environment() == AllocatorSettings()
    monkeypatch.setenv(name, "expandable_segments:True")
    assert Twin(H100).settings == AllocatorSettings(expandable_segments=True)
    assert Twin(H100, settings=AllocatorSettings()).settings == AllocatorSettings()
    monkeypatch.setenv(name, "no_such_option:1")
    with pytest.raises(UsageError, match="no_such_option"):
        Twin(H100)


def test_expandable_segments_reserve_less() -> None:
    reserved = []
    for expandable in (False, True):
        with Twin(H100, settings=AllocatorSettings(expandable_segments=expandable)) as twin:
            for mib in (40, 60, 80):  # each too large for the one before
                x = on_meta(mib * MIB, dtype=torch.uint8)
                del x
            reserved.append(twin.allocator.reserved.current)
    assert reserved == [180 * MIB, 80 * MIB]


def test_twins_may_follow_each_other_and_errors_leave_nothing_behind() -> None:
    before = (F.dropout, torch.tensor, nn.init.normal_, torch._C._len_torch_dispatch_stack())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="in the midst"), Twin(H100):
            raise RuntimeError("in the midst")
    with Twin(H100) as twin:
        x = on_meta(3)
        assert twin.allocator.requested.current == 12
        del x
    assert (F.dropout, torch.tensor, nn.init.normal_, torch._C._len_torch_dispatch_stack()) == before


def test_memory_after_everything_is_dropped_is_the_workspaces() -> None:
    with Twin(H100) as twin:
        model = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, device="cuda", dtype=torch.bfloat16)
        optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
        x = on_meta(2, 10, 32, dtype=torch.bfloat16)
        for _ in range(3):
            model(x).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        kept = twin.allocator.requested.current
        del model, optimizer, x
        assert kept > twin.allocator.requested.current
        assert twin.allocator.requested.current == 2 * 32 * MIB + MIB
        assert twin.allocator.reserved.current > twin.allocator.allocated.current
