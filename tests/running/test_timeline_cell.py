"""A timeline tells what the cell's row tells, event by event."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pandas import DataFrame
from timelines import tiny_timeline, twin_cell
from tiny_cells import METHOD_NAMES

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.instruments.allocations.live_bytes import BYTES_COLUMNS, live_bytes
from lorafa_prof.instruments.allocations.timeline import Timeline
from lorafa_prof.parts import BlockKind
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.recorded_step import predict_timeline


def requested_by_kind(timeline: Timeline, end: int) -> Counter[BlockKind]:
    """Bytes asked for and not freed before the event `end`."""
    live: Counter[BlockKind] = Counter()
    for event in timeline.events[:end]:
        live[timeline.kinds[event.allocation]] += (1 if event.kind == "alloc" else -1) * event.requested_bytes
    return live


def ends(table: DataFrame, phase: str) -> Any:
    return table[table["phase"] == phase].iloc[-1]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_the_row_of_the_cell_says_the_same(method: str) -> None:
    row: Any = measure_cell(twin_cell(method)).row
    timeline = tiny_timeline(method)
    table = live_bytes(timeline)
    assert table["allocated_bytes"].max() == row["peak_allocated_bytes"]
    for phase in ("forward", "backward", "optimizer"):
        # What is there when a phase starts is its too: the row before its first event.
        rows = table["phase"].eq(phase) | table["phase"].shift(-1).eq(phase)
        assert table[rows]["allocated_bytes"].max() == row[f"peak_{phase}_bytes"], phase
    assert table["reserved_bytes"].iloc[-1] == row["peak_reserved_bytes"]
    spans = {span.phase: span for span in timeline.steady_spans}
    after_backward = requested_by_kind(timeline, spans["backward"].end)
    assert after_backward["weights"] == row["weights_bytes"]
    assert after_backward["optimizer"] == row["optimizer_bytes"]
    assert after_backward["gradients"] == row["gradients_bytes"]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_activations_are_what_forward_leaves(method: str) -> None:
    row: Any = measure_cell(twin_cell(method)).row
    forward = ends(live_bytes(tiny_timeline(method)), "forward")
    assert forward["activations_bytes"] == row["activation_bytes"]
    assert forward["temporaries_bytes"] == forward["gradients_bytes"] == 0


def test_a_steady_step_ends_as_it_began() -> None:
    table = live_bytes(tiny_timeline())
    columns = [*BYTES_COLUMNS, "allocated_bytes", "requested_bytes", "reserved_bytes"]
    assert (table[columns].iloc[0] == table[columns].iloc[-1]).all()
    assert not table["other_bytes"].any()
    gone = table[["activations_bytes", "temporaries_bytes", "gradients_bytes"]].iloc[-1]
    assert not gone.any()


def test_workspaces_are_what_kernels_take_for_themselves() -> None:
    timeline = tiny_timeline()
    taken = [event for event in timeline.events if timeline.kinds[event.allocation] == "workspaces"]
    cublas = [event for event in taken if event.requested_bytes == 32 * 2**20]
    # One each for the forward's thread, which multiplies while the model is built too, and the backward's.
    assert [event.kind for event in cublas] == ["alloc", "alloc"]
    assert cublas[-1].place.phase == "backward"
    assert any(event.kind == "free" for event in taken)
    assert live_bytes(timeline)["workspaces_bytes"].iloc[0] == 2 * 32 * 2**20


def test_events_name_module_phase_and_step() -> None:
    timeline = tiny_timeline()
    places = {(event.place.phase, event.place.module) for event in timeline.events}
    assert ("forward", "model.layers.1.mlp.down_proj") in places
    assert ("backward", "model.layers.1.mlp.down_proj") in places
    assert ("build", "") in places
    assert timeline.events[0].place.step == 0
    assert {event.place.step for event in timeline.events[timeline.steady[0] :]} == {3}  # type: ignore[index]


def test_micro_batches_repeat_the_phases_of_one_step() -> None:
    cell = twin_cell("full-ft", accumulation=2)
    timeline = predict_timeline(cell)
    phases = [span.phase for span in timeline.steady_spans]
    assert phases == ["forward", "backward", "forward", "backward", "optimizer"]
    assert len({span.step for span in timeline.steady_spans}) == 1
    row: Any = measure_cell(cell).row
    table = live_bytes(timeline)
    assert table["allocated_bytes"].max() == row["peak_allocated_bytes"]
    assert requested_by_kind(timeline, timeline.steady_spans[3].end)["gradients"] == row["gradients_bytes"]


def test_a_second_timeline_in_the_process_is_the_same() -> None:
    again = predict_timeline(twin_cell())
    assert again.events == tiny_timeline().events
    assert again.kinds == tiny_timeline().kinds


def limited(monkeypatch: pytest.MonkeyPatch, capacity_bytes: int) -> Cell:
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: capacity_bytes)
    return twin_cell("full-ft")


@pytest.mark.parametrize(("mib", "phase"), [(1, "build"), (20, "forward"), (40, "backward")])
def test_out_of_memory_ends_the_timeline(monkeypatch: pytest.MonkeyPatch, mib: int, phase: str) -> None:
    timeline = predict_timeline(limited(monkeypatch, mib * 2**20))
    assert timeline.steady is None
    assert timeline.out_of_memory is not None
    assert timeline.out_of_memory.place.phase == phase
    # What lived then is still there: nothing was freed on the error's way up.
    live = sum(requested_by_kind(timeline, len(timeline.events)).values())
    used = [block for segment in timeline.segments for block in segment.blocks if block.allocated]
    assert live == sum(block.requested_bytes for block in used)
    assert (live > 0) == (phase != "build")
    with pytest.raises(ValueError, match="ran out"):
        live_bytes(timeline)
