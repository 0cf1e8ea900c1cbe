"""Cells of several GPUs: each rank against the twin of one like it, and one row of the worst of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from recorded_cell import gpu_trace, memory
from tiny_cells import tiny_cell
from told_verification import Told, sent

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim.allocator import MIB
from lorafa_prof.instruments.allocations.stream import StreamOperation, as_json
from lorafa_prof.instruments.memory.allocator import AllocatorMeter
from lorafa_prof.instruments.memory.profile import Counters
from lorafa_prof.parallel.group import rank_here
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.running import on_cuda
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.verification import processes
from lorafa_prof.verification.judge import judge_verification
from lorafa_prof.verification.operations import UNRECORDED, Streams, Trace
from lorafa_prof.verification.processes import measure, predict, predict_placed
from lorafa_prof.verification.store import VerifyStore
from lorafa_prof.verification.sweep import predicted_again, verified
from lorafa_prof.verification.verify_csv import VERIFY_COLUMNS


def cell(**settings: Any) -> Cell:
    given = {"device": "cuda", "gpu": "h100-80gb", "parallel": "fsdp2", "gpus": 3} | settings
    return tiny_cell("tiny-llama", "lora-fa", **given)


def result(*ranks: tuple[int, dict[str, Any]], **sends: Any) -> CellResult:
    """A result of ranks by their number, each with this memory."""
    details = [
        {"rank": rank, "memory": held, "communication": deepcopy(sends.get(f"rank{rank}", sent()))}
        for rank, held in ranks
    ]
    row = {**setting_columns(cell()), "status": "ok"}
    return CellResult(cell=cell(), row=row, details={"memory": ranks[0][1], "ranks": details})


def held(counter: str = "allocated", phase: str = "backward", more: int = 0) -> dict[str, Any]:
    changed = memory()
    changed["phases"][phase]["peak"][counter] += more
    return changed


PREDICTED = result((0, held()), (2, held(more=4096)))


def test_ranks_that_are_alike_have_one_prediction():
    record = judge_verification(PREDICTED, result((0, held()), (1, held()), (2, held(more=4096))))
    assert record.row["status"] == "exact"
    assert record.row["residual_peak_backward_bytes"] == 0
    assert record.row.keys() <= set(VERIFY_COLUMNS)
    places = len(record.phases) // 3
    assert [row["rank"] for row in record.phases] == [rank for rank in range(3) for _ in range(places)]


def test_the_row_has_of_each_metric_the_rank_that_is_farthest_off():
    measured = result((0, held(more=512)), (1, held("requested", more=-1024)), (2, held(more=4096 + 2048)))
    row = judge_verification(PREDICTED, measured).row
    assert row["status"] == "differs"
    assert (row["residual_peak_backward_bytes"], row["rank_peak_backward_bytes"]) == (-2048, 2)
    assert (row["residual_peak_requested_bytes"], row["rank_peak_requested_bytes"]) == (1024, 1)
    assert (row["residual_peak_forward_bytes"], row["rank_peak_forward_bytes"]) == (0, 0)
    for metric in ("peak_backward_bytes", "peak_requested_bytes"):
        assert row[f"residual_{metric}"] == row[f"predicted_{metric}"] - row[f"measured_{metric}"]


def test_what_ranks_send_is_compared_by_phase_and_collective():
    other = sent()
    other["sent"][1] |= {"collective": "all_reduce", "calls": 3}
    measured = result((0, held()), (1, held()), (2, held(more=4096)), rank1=other)
    record = judge_verification(PREDICTED, measured)
    assert record.row["status"] == "differs"
    assert (record.row["residual_sent_bytes"], record.row["rank_sent_bytes"]) == (0, 0), "as much in all"
    off = [row for row in record.sent if row["residual"]]
    assert [(row["rank"], row["phase"], row["collective"], row["residual"]) for row in off] == [
        (1, "backward", "all_gather", 64),
        (1, "backward", "all_reduce", -64),
    ]
    assert [(row["predicted_calls"], row["measured_calls"]) for row in off] == [(2, 0), (0, 3)]


def test_where_a_rank_is_missing_nothing_is_exact():
    row = judge_verification(PREDICTED, result((0, held()), (2, held(more=4096)))).row
    assert row["status"] == "error"
    assert "nothing was compared" in str(row["message"])


def test_operations_of_all_ranks_are_kept_and_the_row_counts_the_worst_ones():
    whole = gpu_trace()
    twin = [
        StreamOperation(3, "forward", "a", "mm", 0, tuple(one.requested_bytes for one in whole.plain[:5]))
    ]
    streams = [Streams(twin, whole, 0), Streams(twin, Trace(whole.stream, whole.plain[:-3]), 1)]
    record = judge_verification(PREDICTED, PREDICTED, streams=streams)
    assert record.operations is not None
    counts = {
        rank: sum(one["count"] for one in record.operations[UNRECORDED] if one["rank"] == rank)
        for rank in (0, 1)
    }
    assert counts[0] > counts[1] > 0
    assert record.row["differing_allocations"] == counts[0]


STREAM = {
    "stream": as_json(
        [
            StreamOperation(1, "forward", "a", "mm", 0, (64,), (0,), (1,)),
            StreamOperation(2, "forward", "a", "mm", 1, (64,), (1,), (1,)),
        ]
    ),
    "plain": [["forward", 64, 1]],
}


def test_traces_of_all_ranks_are_kept_and_predicted_against_again(tmp_path):
    told = Told()
    told.stream = STREAM
    store = VerifyStore(tmp_path)
    store.prepare()

    def run(one: Cell, part: str, work: Any) -> CellResult:
        return told.run_cell(one, Path(part), None, work)

    record = verified(cell(), store, run, gpu_trace=True)
    assert told.parts == ["measured", "recorded", "predicted with stream"]
    assert record.operations == {UNRECORDED: [], "step": [], "build": [], "first step": []}
    assert store.load_traces(cell().cell_id).keys() == {0, 1, 2}
    store.save(record)
    (loaded,) = store.load_all([cell().cell_id]).values()
    told.stream = {**STREAM, "stream": as_json([StreamOperation(2, "forward", "a", "mm", 0, (65,))])}
    again = predicted_again(loaded, store, run)
    assert again.operations is not None
    assert again.row["differing_allocations"] == 1, "of each rank, another size"
    assert {group["rank"] for group in again.operations[UNRECORDED]} == {0, 1, 2}


def test_each_kind_of_rank_is_predicted_as_run_predicts_it():
    twin = cell().on_twin()
    mine, whole = predict(twin), measure_cell(twin)
    for ours, theirs in zip(mine.details["ranks"], whole.details["ranks"], strict=True):
        assert ours["memory"] == theirs["memory"]
        assert ours["communication"] == theirs["communication"]
    assert [rank["rank"] for rank in mine.details["ranks"]] == [0, 2]
    digests = [rank["requests"] for rank in mine.details["ranks"]]
    assert len(set(digests)) == 2, "the last rank has fewer rows"
    assert judge_verification(mine, whole.model_copy(update={"cell": twin})).row["predicted_requests"] == (
        " ".join(digests)
    )


def test_each_rank_is_placed_where_its_own_segments_lay():
    placed = predict_placed({rank: [2**40 * (rank + 1)] for rank in range(3)}, cell().on_twin())
    assert [rank["rank"] for rank in placed.details["ranks"]] == [0, 1, 2]
    assert placed.details["ranks"][0]["memory"] == placed.details["ranks"][1]["memory"]


class _Counters:
    """An allocator's, of which a rank has its number of MiB."""

    def current(self) -> Counters:
        return Counters(*[rank_here() * MIB] * 4)

    peak = current

    def read(self) -> tuple[Counters, Counters]:
        return self.current(), self.peak()

    def reset_peaks(self) -> None:
        pass

    def num_alloc_retries(self) -> int:
        return 0


@contextmanager
def _segments() -> Iterator[list[int]]:
    yield [rank_here() + 1]


@pytest.fixture
def gpus_made_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_cuda, "torch", SimpleNamespace(device=lambda kind: torch.device("cpu")))
    monkeypatch.setattr(on_cuda, "CudaMemoryMeter", partial(AllocatorMeter, _Counters()))
    monkeypatch.setattr(processes, "segment_addresses", _segments)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
@pytest.mark.usefixtures("gpus_made_of_cpus")
def test_each_of_two_processes_is_measured_and_sends_what_is_predicted(parallel: str) -> None:
    two = cell(parallel=parallel, gpus=2)
    measured = measure(two.model_copy(update={"device": "cpu"}))
    assert measured.row["status"] == "ok", measured.row["message"]
    assert [rank["segments"] for rank in measured.details["ranks"]] == [[1], [2]]
    record = judge_verification(predict(two.on_twin()), measured)
    assert {row["residual"] for row in record.sent} == {0}
    assert {row["rank"] for row in record.sent} == {0, 1}
    assert {(row["rank"], row["measured"]) for row in record.phases} == {(0, 0), (1, MIB)}
    assert record.row["residual_sent_bytes"] == 0 < record.row["predicted_sent_bytes"]  # type: ignore[operator]
    assert record.row["rank_peak_allocated_bytes"] == 0, "who has nothing is farthest off"


@pytest.mark.usefixtures("gpus_made_of_cpus")
def test_where_no_memory_is_left_to_count_what_is_sent_counters_are_compared(monkeypatch) -> None:
    def out_of_memory(*args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")

    monkeypatch.setattr(on_cuda, "count_communication", out_of_memory)
    two = cell(gpus=2)
    record = judge_verification(predict(two.on_twin()), measure(two.model_copy(update={"device": "cpu"})))
    assert record.row["status"] == "differs"
    assert record.phases
    assert (record.sent, record.row.get("residual_sent_bytes")) == ([], None)
    assert "no memory left to explain the step: rank" in str(record.row["message"])
