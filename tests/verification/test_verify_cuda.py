"""On a GPU: what is recorded of it is what it counts, and the twin is right about tiny cells to the byte."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import FAMILIES, tiny_cell

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.cli.main import main
from lorafa_prof.devices.gpus.gpu import find_gpu
from lorafa_prof.instruments.allocations.stream import OUTSIDE
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.worker import run_cell
from lorafa_prof.step import PHASES
from lorafa_prof.verification.processes import measure, record
from lorafa_prof.verification.store import VerifyStore
from lorafa_prof.verification.traces import trace_of

GPU = find_gpu(torch.cuda.get_device_name()) if torch.cuda.is_available() else None

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(GPU is None, reason="needs a CUDA GPU of the catalogue"),
]


def cuda_cell(model: str = "tiny-llama", method: str = "lora-fa", **settings: Any) -> Cell:
    assert GPU is not None
    fields = {"dtype": "bf16", "steps": Steps(warmup=3, timed=1), **settings}
    return tiny_cell(model, method, device="cuda", gpu=GPU.name, **fields)


def in_process(cell: Cell, log: Path, work: Any) -> CellResult:
    result = run_cell(cell, log, 300, work)
    assert result.row["status"] == "ok", log.read_text()
    return result


def test_the_lean_run_measures_what_run_does(tmp_path: Path) -> None:
    lean, whole = (in_process(cuda_cell(), tmp_path / "log", work) for work in (measure, measure_cell))
    assert lean.details["memory"]["phases"] == whole.details["memory"]["phases"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> CellResult:
    return in_process(cuda_cell(), tmp_path_factory.mktemp("recorded") / "log", record)


def test_the_recording_has_build_first_and_last_step(recorded: CellResult) -> None:
    trace = trace_of(recorded.details)
    assert sorted({one.step for one in trace.stream}) == [0, 1, 4]
    assert [one for one in trace.stream if one.step == 4 and one.name == OUTSIDE] == []
    assert {one.phase for one in trace.stream if one.step == 4} == set(PHASES)
    modules = {one.module for one in trace.stream if one.phase == "backward"}
    assert "model.layers.1.mlp.down_proj" in modules
    assert all(len(one.addresses) == len(one.requested_bytes) for one in trace.stream)


def test_the_plain_step_adds_up_to_what_the_gpu_counts(recorded: CellResult, tmp_path: Path) -> None:
    """Its sizes and lifetimes give the requested bytes of every phase, as measured without recording."""
    plain = trace_of(recorded.details).plain
    phases = in_process(cuda_cell(), tmp_path / "log", measure).details["memory"]["phases"]
    for phase in PHASES:
        current = phases["forward"]["start"]["requested"]
        peak = 0
        for index, one in enumerate(plain):
            current -= sum(before.requested_bytes for before in plain[:index] if before.freed_at == index)
            current += one.requested_bytes
            if one.phase == phase:
                peak = max(peak, current)
        assert peak == phases[phase]["peak"]["requested"], phase
    assert all(one.freed_at is not None for one in plain), "a steady step leaves nothing behind"


def test_recording_out_of_memory_is_a_result(tmp_path: Path) -> None:
    result = run_cell(cuda_cell("tiny-llama", batch=2**18, seq=512), tmp_path / "log", 300, record)
    # A batch that no GPU holds. Where others hold its memory, that may run out before forward does.
    assert result.row["status"] == "oom", result.row.get("message")
    assert result.row["failed_phase"] in ("build", "forward")
    assert "stream" not in result.details


@pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="it takes the whole GPU: run it without -n")
def test_memory_that_others_hold_is_a_result(tmp_path: Path) -> None:
    """All but some MiB of the GPU belong to this process: not even a context fits, or the first kernel."""
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(free - 64 * 2**20, dtype=torch.uint8, device="cuda")
    try:
        for work in (record, measure, measure_cell):
            result = run_cell(cuda_cell("tiny-llama"), tmp_path / "log", 300, work)
            assert result.row["status"] == "oom", result.row.get("message")
            # Others may give some of theirs back meanwhile, so that it gets further than it would alone.
            assert result.row["failed_phase"] in ("build", *PHASES)
    finally:
        del held
        torch.cuda.empty_cache()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_twin_is_exact_and_recording_explains_the_rest(
    family: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(
        f"schema: 1\nname: s\nmodel: {family}\nmethod: [full-ft, {{name: lora, rank: 4}}, "
        "{name: lora-fa, rank: 4}]\nbatch: 2\nseq: 48\ndtype: bf16\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["verify", "s.yaml", "-o", "out"])
    with Path("out/verify.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["differing_allocations"]) for row in rows] == [("exact", "0")] * 3
    assert ended.value.code == 0
    assert all(row["driver"] and row["gpu_name"] for row in rows)


@pytest.mark.parametrize(
    ("model", "kernels"),
    [
        ("tiny-llama", "fused-norm"),
        ("tiny-llama", "fused"),
        ("tiny-t5", "fused-norm"),
        ("tiny-llama", "liger"),
        ("tiny-qwen2", "liger"),
    ],
)
def test_the_twin_is_exact_with_fused_kernels(
    model: str, kernels: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(
        f"schema: 1\nname: s\nmodel: {model}\nmethod: [full-ft, {{name: lora, rank: 4}}, "
        f"{{name: lora-fa, rank: 4}}]\nbatch: 2\nseq: 48\ndtype: bf16\nkernels: {kernels}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["verify", "s.yaml", "-o", "out"])
    assert ended.value.code == 0


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
def test_each_of_two_gpus_is_compared(parallel: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(
        "schema: 1\nname: s\nmodel: tiny-llama\nmethod: {name: lora-fa, rank: 4}\nbatch: 2\nseq: 48\n"
        f"dtype: bf16\nparallel: {parallel}\ngpus: 2\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["verify", "s.yaml", "-o", "out"])
    assert ended.value.code == 0
    with Path("out/verify.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["status"] in ("exact", "placed"), row["message"]
    assert row["residual_sent_bytes"] == "0"
    assert row["differing_allocations"], "both ranks were recorded"
    (record,) = VerifyStore(Path("out")).load_all([row["cell_id"]]).values()
    assert {line["rank"] for line in record.phases} == {0, 1}
