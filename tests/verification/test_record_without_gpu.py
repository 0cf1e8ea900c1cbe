"""Recording a cell with a made-up CUDA allocator: storages of the CPU are its blocks."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lorafa_prof.cell import Steps
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.instruments.allocations import stream_cuda as allocation_stream_cuda
from lorafa_prof.parallel.local import has_sharded
from lorafa_prof.results.record import CellResult
from lorafa_prof.step import PHASES
from lorafa_prof.verification import processes
from lorafa_prof.verification.traces import taken, trace_of, traces_of
from lorafa_prof.verification.unrecorded import unrecorded_differences


class MadeUpAllocator(TorchDispatchMode):
    """Notes the birth and death of every storage, as the history of the CUDA allocator has it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.history: list[dict[str, Any]] = []
        self.counts = {"allocated": 0, "freed": 0}
        self._live: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if has_sharded(types):
            return NotImplemented
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._meet(leaf.untyped_storage())
        return result

    def _meet(self, storage: Any) -> None:
        address = storage._cdata
        if address in self._live:
            return

        def gone(_: Any) -> None:
            del self._live[address]
            self._note("free_requested", address, 0)
            self._note("free_completed", address, 0)

        self._live[address] = weakref.ref(storage, gone)
        self._note("alloc", address, storage.nbytes())

    def _note(self, action: str, address: int, size: int) -> None:
        self.history.append({"action": action, "addr": address, "size": size})
        self.counts["allocated"] += action == "alloc"
        self.counts["freed"] += action == "free_requested"

    def record_history(self, enabled: str | None, **options: Any) -> None:
        self.history.clear()


class NoMeter:
    def __init__(self, model: Any) -> None:
        pass

    def phase_started(self, phase: str) -> None:
        pass

    def phase_ended(self, phase: str) -> None:
        pass

    def profile(self) -> None:
        return None


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> MadeUpAllocator:
    made = MadeUpAllocator()
    cuda = SimpleNamespace(
        init=lambda: None,
        current_device=lambda: 0,
        memory_stats_as_nested_dict=lambda: {"allocation": {"all": made.counts}},
        memory=SimpleNamespace(
            _record_memory_history=made.record_history,
            _snapshot=lambda: {"device_traces": [made.history]},
        ),
    )
    monkeypatch.setattr(allocation_stream_cuda, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(processes, "CudaMemoryMeter", NoMeter)
    monkeypatch.setattr(processes, "torch", SimpleNamespace(device=lambda kind: torch.device("cpu")))
    return made


def record(allocator: MadeUpAllocator, **settings: Any) -> CellResult:
    cell = tiny_cell("tiny-llama", "lora-fa", steps=Steps(warmup=2, timed=1), **settings)
    with allocator:
        return processes.record(cell)


@pytest.mark.parametrize("settings", [{}, {"accumulation": 2}, {"checkpointing": "full"}], ids=str)
def test_the_step_by_name_and_the_plain_step_are_the_same_one(allocator, settings):
    trace = trace_of(record(allocator, **settings).details)
    last = [one for one in trace.stream if one.step == trace.stream[-1].step]
    assert sorted({one.step for one in trace.stream}) == [0, 1, 3]
    assert len(trace.plain) == sum(len(one.requested_bytes) for one in last) > 100
    assert unrecorded_differences(trace.plain, last) == []
    assert {one.phase for one in trace.plain} == set(PHASES)
    assert all(one.freed_at is not None for one in trace.plain), "the loss too"


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
def test_each_rank_is_recorded(allocator, parallel):
    result, data = taken(record(allocator, parallel=parallel, gpus=2, max_grad_norm=1.0))
    assert result.row["status"] == "ok", result.row.get("message")
    traces = traces_of(data)
    assert traces.keys() == {0, 1}
    for trace in traces.values():
        last = [one for one in trace.stream if one.step == trace.stream[-1].step]
        assert len(trace.plain) == sum(len(one.requested_bytes) for one in last) > 100
        # Gloo's threads let go of what they sent when they like.
        kinds = {located.difference.kind for located in unrecorded_differences(trace.plain, last)}
        assert kinds <= {"freed"}
        if parallel == "fsdp2":
            names = {one.name.split(".")[0] for one in last}
            assert {"fsdp", "_c10d_functional"} <= names, "also what runs within a sharded tensor's operation"
    assert "stream" not in result.details
    assert all("stream" not in rank for rank in result.details["ranks"])


def test_what_was_there_before_the_recording_does_not_matter(allocator):
    with allocator:
        kept = torch.ones(3) + 1
        torch.ones(5)
    trace = trace_of(record(allocator).details)
    assert trace.stream[0].first == 0
    del kept


def test_a_history_with_gaps_is_an_error(allocator, monkeypatch):
    monkeypatch.setattr(
        allocation_stream_cuda,
        "requests_in",
        lambda trace, real=allocation_stream_cuda.requests_in: real(trace)[:-1],
    )
    with pytest.raises(LorafaProfError, match="the allocator counted"):
        record(allocator)
