"""The exported snapshot, read by PyTorch's own tools and as the web page's reader would."""

from __future__ import annotations

import pickle
import pickletools
from typing import Any

import pytest
from timelines import tiny_timeline, twin_cell
from torch.cuda import _memory_viz as viz

from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.devices.sim.settings import AllocatorSettings
from lorafa_prof.instruments.allocations.snapshot import dump_snapshot, snapshot_of
from lorafa_prof.instruments.allocations.timeline import Timeline
from lorafa_prof.parts import BLOCK_KINDS
from lorafa_prof.running.recorded_step import predict_timeline

# What MemoryViz.js can read (its function unpickle); anything else is an error there.
_READABLE = """
APPENDS BINGET BININT BININT1 BININT2 EMPTY_DICT EMPTY_LIST FRAME LONG1 LONG_BINGET MARK MEMOIZE PROTO
SETITEMS SHORT_BINUNICODE STOP TUPLE2 APPEND NEWFALSE BINPUT BINUNICODE EMPTY_TUPLE NEWTRUE NONE BINFLOAT
TUPLE TUPLE1 TUPLE3 LONG_BINPUT LIST DICT SETITEM
"""
READABLE = frozenset(_READABLE.split())


@pytest.fixture(params=["lora-fa", "full-ft"])
def timeline(request: pytest.FixtureRequest) -> Timeline:
    return tiny_timeline(request.param)


@pytest.fixture
def data(timeline: Timeline) -> Any:
    return pickle.loads(dump_snapshot(timeline))


def limited(monkeypatch: pytest.MonkeyPatch, mib: int, settings: AllocatorSettings) -> Timeline:
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: mib * 2**20)
    monkeypatch.setattr(twin_module, "settings_of_environment", lambda: settings)
    return predict_timeline(twin_cell("full-ft"))


def live_by_trace(trace: list[Any]) -> dict[int, int]:
    """Bytes by address after the last entry; every entry has to make sense where it comes."""
    live: dict[int, int] = {}
    asked_to_free: set[int] = set()
    for entry in trace:
        if entry["action"] == "alloc":
            assert entry["addr"] not in live
            live[entry["addr"]] = entry["size"]
        elif entry["action"] == "free_requested":
            assert live[entry["addr"]] == entry["size"]
            asked_to_free.add(entry["addr"])
        elif entry["action"] == "free_completed":
            asked_to_free.remove(entry["addr"])
            assert live.pop(entry["addr"]) == entry["size"]
    assert not asked_to_free
    return live


def undone(data: Any) -> tuple[set[int], set[tuple[int, int]]]:
    """Blocks and segments before the first entry, going back from the end as the state history does."""
    blocks = {b["address"] for s in data["segments"] for b in s["blocks"] if b["state"] != "inactive"}
    segments = {(s["address"], s["total_size"]) for s in data["segments"]}
    for entry in reversed(data["device_traces"][0]):
        at = entry.get("addr"), entry["size"]
        match entry["action"]:
            case "alloc":
                inside = [s for s in segments if s[0] <= at[0] and at[0] + at[1] <= s[0] + s[1]]
                assert len(inside) == 1
                blocks.remove(at[0])
            case "free_completed":
                blocks.add(at[0])
            case "segment_alloc":
                segments.remove(at)
            case "segment_free":
                segments.add(at)
    return blocks, segments


def test_pytorchs_tools_accept_it(data: Any) -> None:
    text = viz.trace(data)
    assert f"{len(data['device_traces'][0])} entries" in text
    assert "cudaMalloc(" in text
    assert "MEM[" not in text  # each block lies in a segment that was told before it
    summary = viz.segsum(data)
    assert f"segments: {len(data['segments'])}\n" in summary
    assert "Active Memory Timeline" in viz.trace_plot(data)
    assert "Allocator State History" in viz.segment_plot(data)
    flames: list[str] = []
    viz.memory(data, format_flamegraph=flames.append)
    viz.segments(data, format_flamegraph=flames.append)
    assert "active_allocated;before the first step:0:build;(model):0:aten.empty" in flames[0]
    viz.compare(data["segments"], [], format_flamegraph=flames.append)
    assert all(int(line.rsplit(" ", 1)[1]) >= 0 for flame in flames for line in flame.splitlines())


def test_filtering_what_was_freed_leaves_what_lives(data: Any) -> None:
    live = live_by_trace(data["device_traces"][0])
    left = viz.filter_alloc_free_pairs(data)["device_traces"][0]
    assert {entry["addr"] for entry in left if entry["action"] == "alloc"} == set(live)


def test_the_trace_leads_to_the_blocks_that_the_allocator_has(timeline: Timeline, data: Any) -> None:
    live = live_by_trace(data["device_traces"][0])
    blocks = [block for segment in data["segments"] for block in segment["blocks"]]
    used = [block for block in blocks if block["state"] == "active_allocated"]
    free = [block for block in blocks if block["state"] == "inactive"]
    assert len(used) + len(free) == len(blocks)
    assert {block["requested_size"] for block in free} == {0}
    assert live == {block["address"]: block["requested_size"] for block in used}
    allocated = sum(block["size"] for block in used)
    assert allocated == sum(s["allocated_size"] for s in data["segments"])
    end = sum((1 if e.kind == "alloc" else -1) * e.block_bytes for e in timeline.events)
    assert allocated == end
    for segment in data["segments"]:
        assert segment["total_size"] == sum(block["size"] for block in segment["blocks"])
        assert segment["address"] == segment["blocks"][0]["address"]


def test_going_back_from_the_end_leads_to_nothing(data: Any) -> None:
    assert undone(data) == (set(), set())


@pytest.mark.parametrize("expandable", [False, True])
def test_out_of_memory_is_the_last_entry(monkeypatch: pytest.MonkeyPatch, expandable: bool) -> None:
    timeline = limited(monkeypatch, 44, AllocatorSettings(expandable_segments=expandable))
    data = pickle.loads(dump_snapshot(timeline))
    trace = data["device_traces"][0]
    assert trace[-1]["action"] == "oom"
    assert trace[-1]["size"] == 32 * 2**20  # the backward thread's workspace
    assert 0 <= trace[-1]["device_free"] < 44 * 2**20
    assert trace[-1]["frames"][1]["name"] == "backward"
    assert "raise OutOfMemoryError # 32.0MiB requested" in viz.trace(data)
    assert len(live_by_trace(trace)) > 10
    assert {s["is_expandable"] for s in data["segments"]} == {expandable}
    assert ("segment_map" in {e["action"] for e in trace}) == expandable
    if not expandable:
        assert undone(data) == (set(), set())


def test_the_web_pages_reader_can_read_it(timeline: Timeline, data: Any) -> None:
    operations = {op.name: arg for op, arg, _ in pickletools.genops(dump_snapshot(timeline))}
    assert operations.keys() <= READABLE
    assert 2 <= int(operations["PROTO"]) <= 4
    trace = data["device_traces"][0]
    addresses = [e["addr"] for e in trace] + [b["address"] for s in data["segments"] for b in s["blocks"]]
    assert max(addresses) < 2**53  # a JavaScript number holds no larger integer exactly
    assert min(addresses) == 0x7F0000000000
    assert all(segment["device"] == 0 for segment in data["segments"])
    categories = {entry["category"] for entry in trace}
    assert "unknown" in categories  # else the page's own code fails
    assert categories - {"unknown"} <= set(BLOCK_KINDS)
    assert {"weights", "activations", "temporaries", "workspaces", "gradients", "optimizer"} <= categories


def test_entries_name_operation_module_and_phase(timeline: Timeline) -> None:
    data = snapshot_of(timeline)
    named = {
        tuple(f"{frame['filename']}:{frame['name']}" for frame in entry["frames"])
        for entry in data["device_traces"][0]
    }
    assert ("model.layers.0.mlp.up_proj:aten.mm.default", "step 1:forward") in named
    assert ("model.layers.0.mlp.up_proj:aten.mm.default", "step 3:backward") in named
    times = [entry["time_us"] for entry in data["device_traces"][0]]
    assert times == sorted(times)
    marks = [(mark["name"], mark["stage"]) for mark in data["external_annotations"]]
    assert marks[:2] == [("step 1 forward", "START"), ("step 1 forward", "END")]
    assert marks[-1] == ("step 3 optimizer", "END")
