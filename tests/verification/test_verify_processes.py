"""The part of verifying a cell that needs no GPU, in this process and in one of its own."""

from __future__ import annotations

from pathlib import Path

from tiny_cells import tiny_cell

from lorafa_prof.instruments.allocations.stream import from_json
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.worker import run_cell
from lorafa_prof.verification.processes import predict, predict_with_stream

CELL = tiny_cell("tiny-llama", "lora", device="cuda", gpu="a100-40gb")


def test_the_twin_is_of_the_gpu_and_all_else_stays():
    twin = CELL.on_twin()
    assert twin.device == "sim:a100-40gb"
    assert twin.model_copy(update={"device": "cuda"}) == CELL


def test_it_is_what_run_predicts():
    mine, whole = predict(CELL.on_twin()), measure_cell(CELL.on_twin())
    assert mine.details["memory"] == whole.details["memory"]
    assert "flops_step" in whole.row
    assert "flops_step" not in mine.row, "verifying needs memory alone"


def test_a_process_of_its_own_gives_the_same(tmp_path: Path):
    result = run_cell(CELL.on_twin(), tmp_path / "log", None, predict_with_stream)
    assert result.row["status"] == "ok"
    alone = predict(CELL.on_twin())
    assert result.details["memory"] == alone.details["memory"]
    assert result.details["requests"] == alone.details["requests"]
    assert from_json(result.details["stream"])


def test_out_of_memory_is_a_result_with_its_phase():
    result = predict_with_stream(CELL.on_twin().model_copy(update={"batch": 2**15, "seq": 512}))
    assert (result.row["status"], result.row["failed_phase"]) == ("oom", "forward")
    assert "stream" not in result.details
