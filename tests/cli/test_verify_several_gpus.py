"""`lorafa-prof verify` of cells of several GPUs, with processes that are told what to give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_verify import Verifications, an_h100, table
from told_runs import SCENARIO
from told_verification import GIB

from lorafa_prof.cli import verify as module
from lorafa_prof.verification import sweep

TWO = "parallel: fsdp2\ngpus: 2\n"


@pytest.fixture
def verify(tmp_path, monkeypatch, capsys) -> Verifications:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO + TWO)
    an_h100(monkeypatch)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    made = Verifications(capsys)
    monkeypatch.setattr(sweep, "run_cell", made.run_cell)
    return made


def test_all_ranks_exact(verify):
    assert verify("--no-gpu-trace") == 0
    assert "3 of 3 cells exact in allocated and requested; worst residual 0 bytes" in verify.out
    assert verify.asked[:2] == [("full-ft", "measured"), ("full-ft", "predicted")]
    for row in table():
        assert (row["status"], row["parallel"], row["gpus"]) == ("exact", "fsdp2", "2")
        assert (row["predicted_sent_bytes"], row["residual_sent_bytes"]) == ("128", "0")


def test_one_rank_that_is_not_is_named(verify):
    verify.say["full-ft", "measured", 1] = {"peak": GIB - 2048}
    assert verify("--no-gpu-trace") == 3
    assert "worst residual +2,048 bytes (+0.00 %), rank 1 forward peak allocated of " in verify.out
    assert "rank 1 forward peak allocated +2,048 bytes" in verify.err
    row = table()[0]
    assert row["status"] == "differs"
    assert (row["residual_peak_allocated_bytes"], row["rank_peak_allocated_bytes"]) == ("2048", "1")


def test_other_bytes_sent_are_no_agreement(verify):
    verify.say["full-ft", "measured", 1] = {"sent": 60}
    assert verify("--no-gpu-trace") == 3
    assert "ranks send other bytes in 1 cell" in verify.out
    assert "sent otherwise: rank 1 forward all_gather +4 bytes (2 calls, 2 on the GPU)" in verify.err
    row = table()[0]
    assert (row["status"], row["residual_peak_allocated_bytes"]) == ("differs", "0")
    assert (row["residual_sent_bytes"], row["rank_sent_bytes"]) == ("8", "1")
    assert row["message"].startswith("sent otherwise: rank 1")


def test_it_goes_on_where_it_stopped_and_predicts_again_without_a_gpu(verify, monkeypatch):
    verify.say["full-ft", "measured", 1] = {"peak": GIB - 2048}
    verify.say["lora", "measured"] = KeyboardInterrupt()
    assert verify("--no-gpu-trace") == 130
    del verify.say["lora", "measured"]
    assert verify("--no-gpu-trace") == 3
    assert {method for method, _ in verify.asked} == {"lora"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert verify("--rerun", "twin") == 3
    assert {part for _, part in verify.asked} == {"predicted"}
    verify.say["full-ft", "predicted", 0] = {"peak": GIB - 2048}
    assert verify("--rerun", "twin") == 3
    assert table()[0]["rank_peak_allocated_bytes"] == "0", "now it is the other rank that is not"


def test_out_of_memory_names_the_rank(verify):
    why = "rank 1 of 2 in forward of step 1: CUDA out of memory."
    verify.say["lora", "measured"] = {"status": "oom", "failed_phase": "forward", "message": why}
    assert verify("--no-gpu-trace") == 3
    row = table()[1]
    assert (row["status"], row["message"]) == ("oom-measured", f"measured: {why}")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("gpus=4", "gpus is 4, and PyTorch sees 2 GPUs here"),
        ("shard={offload: cpu}", "shard.offload 'cpu' is not predicted"),
    ],
)
def test_what_cannot_be_measured_or_predicted_is_one_line(verify, setting, line):
    assert verify("--set", setting) == 2
    assert line in verify.err.splitlines()[-1]
    assert verify.asked == []


def test_another_rank_that_torchrun_started_takes_part_in_rank_0s(verify, monkeypatch):
    monkeypatch.setattr(module, "follows", lambda: True)
    assert verify() == 0
    assert (verify.asked, Path("out").exists()) == ([], False)
