"""A cell on two ranks: its row and record, and the one row where a rank dies, hangs or runs out of memory."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.parallel.group import TIMEOUT_VARIABLE, rank_here
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.on_cpu import measure_on_cpu
from lorafa_prof.running.ranks.launch import run_on_ranks
from lorafa_prof.running.worker import run_cell
from lorafa_prof.step import PhaseTracker

CELL = tiny_cell("tiny-llama", "lora-fa", parallel="fsdp2", gpus=2)


class _Trouble(PhaseTracker):
    """A tracker that makes trouble on one rank, at the backward of the second step."""

    def __init__(self, tracker: Any, trouble: str, rank: int) -> None:
        super().__init__()
        self._tracker, self._trouble, self._rank = tracker, trouble, rank

    def phase_started(self, phase: Any) -> None:
        self._tracker.phase_started(phase)
        self.phase, self.step = self._tracker.phase, self._tracker.step
        if rank_here() == self._rank and self.step == 2 and phase == "backward":
            TROUBLES[self._trouble]()


def _raise(error: BaseException) -> None:
    raise error


RAISED = f"tests/running/test_ranks.py:{_raise.__code__.co_firstlineno + 1}"


TROUBLES: dict[str, Any] = {
    "raise": lambda: _raise(ValueError("no such thing")),
    "oom": lambda: _raise(
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")
    ),
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leave": lambda: os._exit(0),
    "hang": lambda: time.sleep(45),
}


def in_trouble(cell: Cell, trouble: str, rank: int = 1) -> CellResult:
    def run(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
        measure_on_cpu(cell, measured, _Trouble(tracker, trouble, rank))

    return run_on_ranks(cell, run)


@pytest.mark.parametrize(
    ("trouble", "status", "message"),
    [
        ("raise", "error", "rank 1 of 2 in backward of step 2: ValueError: no such thing"),
        (
            "oom",
            "oom",
            f"rank 1 of 2 in backward of step 2: {RAISED}: CUDA out of memory. Tried to allocate 2.00 GiB.",
        ),
        (
            "die",
            "error",
            "rank 1 of 2 in backward of step 2: its process died: killed by SIGKILL (the host ran out of "
            "memory?)",
        ),
        ("leave", "error", "rank 1 of 2 in backward of step 2: its process died: exit code 0"),
    ],
)
def test_a_rank_that_fails_gives_one_row_that_names_it(trouble: str, status: str, message: str) -> None:
    start = time.monotonic()
    result = in_trouble(CELL, trouble)
    assert (result.row["status"], result.row["failed_phase"]) == (status, "backward")
    assert result.row["message"] == message
    assert time.monotonic() - start < 30


def test_a_rank_that_hangs_is_found_by_those_that_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")
    start = time.monotonic()
    result = in_trouble(CELL, "hang")
    assert time.monotonic() - start < 30
    assert (result.row["status"], result.row["failed_phase"]) == ("timeout", "backward")
    assert result.row["message"] == (
        "rank 0 of 2 in backward of step 2: waited more than 2 s for another rank; rank 1 was in backward of "
        "step 2"
    )


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
def test_the_row_is_of_the_worst_rank_and_the_record_of_all(tmp_path: Path, parallel: str) -> None:
    result = run_cell(CELL.model_copy(update={"parallel": parallel}), tmp_path / "log", 120)
    row, ranks = result.row, result.details["ranks"]
    assert row["status"] == "ok", (tmp_path / "log").read_text()
    assert [rank["rank"] for rank in ranks] == [0, 1]
    assert row["peak_allocated_bytes"] == max(rank["peak_allocated_bytes"] for rank in ranks)
    assert row["step_ms_median"] == max(rank["step_ms_median"] for rank in ranks)
    tokens = 2 * CELL.batch * CELL.seq
    assert row["tokens_per_s"] == pytest.approx(tokens / row["step_ms_median"] * 1e3)
    assert row["tokens_per_s_per_gpu"] == pytest.approx(row["tokens_per_s"] / 2)
    alone = run_cell(CELL.model_copy(update={"parallel": "none", "gpus": 1}), tmp_path / "log", 120).row
    assert row["params_total"] == alone["params_total"]
    assert row["saved_bytes"] == row["activation_bytes"] - 4 == alone["saved_bytes"]
    shares = {"ddp": 1, "fsdp2": 2}
    assert row["weights_bytes"] == pytest.approx(alone["weights_bytes"] / shares[parallel], rel=1e-3)
    assert row["gradients_bytes"] == alone["gradients_bytes"] / shares[parallel]
    assert result.details["reconciliation"]["residual_bytes"] == 0


def test_what_only_explains_may_run_out_of_memory(tmp_path: Path) -> None:
    def run(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
        told = measured.part_started

        def part_started(part: str) -> None:
            told(part)
            if part == "saved" and rank_here() == 1:
                TROUBLES["oom"]()

        measured.part_started = part_started
        measure_on_cpu(cell, measured, tracker)

    start = time.monotonic()
    result = run_on_ranks(CELL, run)
    assert result.row["status"] == "ok"
    assert result.row["message"] == (
        f"no memory left to explain the step: rank 1 of 2 in the saved pass: {RAISED}: CUDA out of memory. "
        "Tried to allocate 2.00 GiB."
    )
    assert result.row["step_ms_median"]
    assert result.row["peak_allocated_bytes"]
    assert len(result.details["ranks"]) == 2
    assert time.monotonic() - start < 30


def measure_hanging(cell: Cell) -> CellResult:
    return in_trouble(cell, "hang")


def test_a_cell_that_takes_too_long_names_where_its_ranks_were(tmp_path: Path) -> None:
    result = run_cell(CELL, tmp_path / "log", 6, measure_hanging)
    assert result.row["status"] == "timeout"
    assert result.row["message"] == (
        "no result within 6 s; rank 0 was in backward of step 2, rank 1 was in backward of step 2"
    )
