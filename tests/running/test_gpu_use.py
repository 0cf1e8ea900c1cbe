"""Who else uses a GPU, told by a stand-in for NVML."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
import torch
from cells import make_cell

from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.nvml import Unavailable
from lorafa_prof.running import gpu_use
from lorafa_prof.running.gpu_use import await_free_gpu, disturbances, free_gpus

GIB = 2**30
CUDA = [make_cell().model_copy(update={"device": "cuda"})]
STRANGER = 2**22 + 1


@dataclass
class Device:
    listed: list[dict[int, int | None] | Unavailable] = field(default_factory=lambda: [{}])
    used: int = 0
    reasons: tuple[str, ...] | Unavailable = ()
    closed: int = 0

    def processes(self) -> dict[int, int | None] | Unavailable:
        return self.listed.pop(0) if len(self.listed) > 1 else self.listed[0]

    def device_used_bytes(self) -> int:
        return self.used

    def slowed_by(self) -> tuple[str, ...] | Unavailable:
        return self.reasons

    def close(self) -> None:
        self.closed += 1


@dataclass
class Time:
    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "whoever waits beyond the end waits for ever"
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(gpu_use, "open_device", lambda uuid: device)
    monkeypatch.setattr(gpu_use, "torch_device_uuid", lambda: "GPU-aaa")
    return device


def wait(wait_s: float | None = None) -> tuple[list[str], float]:
    said: list[str] = []
    time = Time()
    await_free_gpu(CUDA, wait_s, said.append, sleep=time.sleep, clock=time.clock)
    return said, time.now


def test_a_gpu_in_use_is_refused_and_its_users_named(device):
    device.listed = [{STRANGER: 3 * GIB, os.getppid(): None}]
    with pytest.raises(UsageError) as refused:
        wait()
    line = str(refused.value)
    assert line.startswith(
        f"the GPU is in use by process {STRANGER} with 3.000 GiB, process {os.getppid()} ("
    )
    assert "--wait waits for it, --share-gpu measures all the same" in line


def test_this_process_a_screen_and_cells_of_no_gpu_are_no_use_of_it(device, monkeypatch):
    device.listed, device.used = [{os.getpid(): GIB}], 5 * GIB
    assert wait() == ([], 0)
    device.listed, device.used = [{}], GIB // 2
    assert wait() == ([], 0)
    device.listed = [{STRANGER: GIB}]
    await_free_gpu([make_cell()], None, pytest.fail)
    monkeypatch.setattr(gpu_use, "open_device", lambda uuid: Unavailable("no NVML"))
    assert wait() == ([], 0)


def test_processes_of_this_one_are_no_others(device):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        device.listed = [{os.getpid(): GIB, child.pid: GIB}]
        assert wait() == ([], 0)
        child.communicate(b"\n")


def test_where_nvml_lists_no_processes_nothing_is_refused(device):
    device.listed, device.used = [Unavailable("not supported")], 5 * GIB
    assert wait() == ([], 0)
    assert device.closed == 1
    assert disturbances(device) == {}
    device.reasons = Unavailable("not supported")
    assert disturbances(device) == {}


def test_a_name_of_several_lines_is_one(device, monkeypatch):
    monkeypatch.setattr("psutil.Process.name", lambda process: "two\nlines")
    device.listed = [{os.getppid(): GIB}]
    with pytest.raises(UsageError) as refused:
        wait()
    assert "\n" not in str(refused.value)
    assert "(two lines)" in str(refused.value)
    device.listed = [{os.getpid(): GIB, os.getppid(): GIB}]
    assert "(two lines)" in disturbances(device)["beside"]


def test_memory_of_processes_that_cannot_be_seen_counts(device):
    device.used = 5 * GIB
    with pytest.raises(UsageError, match=r"processes that are not seen from here \(5.000 GiB\)"):
        wait()


def test_it_is_waited_for_and_that_is_said_once(device):
    device.listed = [{STRANGER: GIB}, {STRANGER: GIB}, {}]
    said, seconds = wait(float("inf"))
    assert said == [f"waiting for the GPU, which is in use by process {STRANGER} with 1.000 GiB"]
    assert seconds == 4


def test_waiting_has_an_end(device):
    device.listed = [{STRANGER: GIB}]
    with pytest.raises(UsageError, match="still, after 5 s"):
        wait(5)


def test_what_disturbs_a_measurement_is_a_mark(device):
    assert disturbances(device) == disturbances(Unavailable("no NVML")) == {}
    device.listed, device.reasons = [{os.getpid(): GIB, STRANGER: GIB}], ("heat",)
    marks = disturbances(device)
    assert f"measured beside process {STRANGER} with 1.000 GiB on the GPU" in marks["beside"]
    assert "heat" in marks["clocks"]
    device.listed = [{STRANGER: GIB}]
    assert "beside" not in disturbances(device), "in a container that is this process, by the host's id"
    device.listed = [{STRANGER: GIB, STRANGER + 1: GIB}]
    assert "1 of other processes" in disturbances(device)["beside"]


def test_of_several_gpus_each_must_be_free(device, monkeypatch):
    asked = []
    monkeypatch.setattr(gpu_use, "open_device", lambda uuid: asked.append(uuid) or device)
    monkeypatch.setattr(gpu_use, "torch_device_uuid", lambda index: f"GPU-{index}")
    monkeypatch.setattr(gpu_use.torch.cuda, "device_count", lambda: 4)
    device.listed = [{}, {STRANGER: GIB}]
    cells = [CUDA[0].model_copy(update={"parallel": "ddp", "gpus": 2})]
    with pytest.raises(UsageError, match=f"process {STRANGER}"):
        await_free_gpu(cells, None, pytest.fail)
    assert asked == ["GPU-0", "GPU-1"]


def test_of_several_gpus_those_of_one_kind_that_nobody_uses_are_free(monkeypatch):
    kinds = ["H200", "H200", "T4", "H200"]
    used = {"GPU-1": Device([{STRANGER: GIB}])}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(kinds))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index=0: kinds[index])
    monkeypatch.setattr(gpu_use, "torch_device_uuid", lambda index=0: f"GPU-{index}")
    monkeypatch.setattr(gpu_use, "open_device", lambda uuid: used.get(uuid, Device()))
    assert free_gpus() == ["GPU-0", "GPU-3"]
