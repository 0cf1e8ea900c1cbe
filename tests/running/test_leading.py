"""`lorafa-prof run` on ranks that torchrun, or Slurm, started: rank 0 keeps results, the others take part."""

from __future__ import annotations

import csv
import multiprocessing
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_cells import tiny_cell
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from lorafa_prof.errors import LorafaProfError, UsageError
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.ranks.allocation import Allocation, allocation_here
from lorafa_prof.running.ranks.leading import follow, leading

HERE = "127.0.0.1"
CELL = tiny_cell("tiny-llama", "lora-fa", gpus=2)
SCENARIO = """\
schema: 1
name: tiny
model: tiny-llama
method: {name: lora-fa, rank: 4}
batch: 2
seq: 16
dtype: fp32
device: cpu
parallel: fsdp2
gpus: 2
steps: {warmup: 1, timed: 2}
"""
RUN = ("-m", "lorafa_prof", "run")


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    return [*RUN, str(tmp_path / "tiny.yaml"), "-o", str(tmp_path / "out"), "--no-figures"]


def test_under_torchrun(arguments: list[str], tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, *arguments], check=True, timeout=300)
    (row,) = rows(tmp_path / "out")
    assert (row["status"], row["gpus"], row["parallel"]) == ("ok", "2", "fsdp2")


def free_port() -> int:
    return int(TCPStore(HERE, 0, is_master=True, wait_for_workers=False).port)


def test_under_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more ranks than the cell has GPUs; the last takes no part."""
    meeting = {"MASTER_ADDR": HERE, "MASTER_PORT": str(free_port()), "SLURM_STEP_NUM_TASKS": "3"}
    for name, value in {**meeting, "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}.items():
        monkeypatch.setenv(name, value)
    leader = allocation_here()
    assert leader is not None
    followers = [replace(leader, rank=rank, local_rank=rank) for rank in (1, 2)]
    processes = [multiprocessing.get_context("fork").Process(target=follow, args=(one,)) for one in followers]
    for process in processes:
        process.start()
    with leading(leader):
        results = [measure_cell(CELL.model_copy(update={"parallel": name})) for name in ("fsdp2", "ddp")]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [result.row["status"] for result in results] == ["ok", "ok"]
    assert [[rank["rank"] for rank in result.details["ranks"]] for result in results] == [[0, 1]] * 2


def test_a_rank_whose_rank_0_is_gone_says_so() -> None:
    store = TCPStore(HERE, 0, is_master=True, wait_for_workers=False)
    told: list[str] = []

    def rank_1() -> None:
        try:
            follow(Allocation(1, 2, 1, HERE, port, has_store=True))
        except LorafaProfError as error:
            told.append(str(error))

    port = store.port
    thread = threading.Thread(target=rank_1)
    thread.start()
    time.sleep(1)
    assert thread.is_alive()
    del store
    thread.join(30)
    assert told[0].startswith("rank 0 is gone")


def test_an_allocation_is_what_torchrun_or_slurm_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert allocation_here() is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    with pytest.raises(UsageError, match="MASTER_ADDR does not say where rank 0 is"):
        allocation_here()
    monkeypatch.setenv("MASTER_ADDR", "node0")
    assert allocation_here() == Allocation(3, 4, 1, "node0", 29500, has_store=False)
    torchrun = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_PORT": "7", "MASTER_ADDR": "here"}
    for name, value in {**torchrun, "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)
    assert allocation_here() == Allocation(1, 2, 1, "here", 7, has_store=True)
