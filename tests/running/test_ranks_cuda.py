"""On two GPUs: cells of every method on both, and the one row where one of them has no memory left."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.parallel.group import rank_here
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.on_cuda import measure_on_cuda
from lorafa_prof.running.ranks.launch import run_on_ranks
from lorafa_prof.running.worker import run_cell
from lorafa_prof.step import PhaseTracker

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA GPUs"),
]


def cuda_cell(method: str, parallel: str, **settings: Any) -> Cell:
    return tiny_cell(
        "tiny-llama", method, device="cuda", gpu="h200", dtype="bf16", parallel=parallel, gpus=2, **settings
    )


def measured(cell: Cell, tmp_path: Any) -> CellResult:
    result = run_cell(cell, tmp_path / "log", 300, measure_cell)
    assert result.row["status"] == "ok", (result.row["message"], (tmp_path / "log").read_text())
    return result


@pytest.mark.parametrize(
    "settings",
    [
        {"parallel": "ddp"},
        {"parallel": "fsdp2"},
        {"parallel": "fsdp2", "shard": Shard(reshard_after_forward=False)},
        {"parallel": "fsdp2", "shard": Shard(mp="bf16")},
        {"parallel": "fsdp2", "shard": Shard(offload="cpu"), "max_grad_norm": 1.0},
        {"parallel": "fsdp2", "checkpointing": "full", "accumulation": 2, "max_grad_norm": 1.0},
        {"parallel": "fsdp2", "kernels": "liger"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora"])
def test_every_method(method: str, settings: dict[str, Any], tmp_path: Any) -> None:
    result = measured(cuda_cell(method, **settings), tmp_path)
    ranks = result.details["ranks"]
    assert len(ranks) == 2
    assert result.row["peak_allocated_bytes"] == max(rank["peak_allocated_bytes"] for rank in ranks)
    for rank in ranks:
        assert rank["communication"]["sent_bytes"] > 0
        assert rank["communication"]["exposed_ms"] > 0
        assert rank["peak_reserved_bytes"] >= rank["peak_allocated_bytes"]


def out_of_memory_on_rank_1(cell: Cell) -> CellResult:
    def run(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
        if rank_here() == 1:
            torch.cuda.set_per_process_memory_fraction(1e-6)
        measure_on_cuda(cell, measured, tracker)

    return run_on_ranks(cell, run)


def test_a_rank_without_memory_is_one_row(tmp_path: Any) -> None:
    cell = cuda_cell("lora-fa", "fsdp2", batch=64)
    result = run_cell(cell, tmp_path / "log", 300, out_of_memory_on_rank_1)
    assert result.row["status"] == "oom", (tmp_path / "log").read_text()
    assert str(result.row["message"]).startswith("rank 1 of 2 in ")
