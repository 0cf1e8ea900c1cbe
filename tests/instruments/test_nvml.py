from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lorafa_prof.instruments.nvml import NvmlDevice, Unavailable, open_device, torch_device_uuid

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def opened(uuid: str = "GPU-bbb") -> NvmlDevice:
    device = open_device(uuid)
    assert isinstance(device, NvmlDevice)
    return device


def test_device_is_matched_by_uuid_not_by_order(nvml: Any) -> None:
    assert opened("GPU-bbb").device_used_bytes() == 222
    assert opened("GPU-aaa").device_used_bytes() == 111


def test_unknown_uuid_is_unavailable_and_gives_nvml_back(nvml: Any) -> None:
    assert open_device("GPU-zzz") == Unavailable("NVML has no device GPU-zzz: Not Found")
    assert nvml.users == 0


def test_close_gives_nvml_back(nvml: Any) -> None:
    device = opened()
    assert nvml.users == 1
    assert device.close() is None
    assert nvml.users == 0


def test_failing_shutdown_is_told(nvml: Any) -> None:
    device = opened()
    nvml.failing["nvmlShutdown"] = "Uninitialized"
    assert device.close() == Unavailable("NVML does not shut down: Uninitialized")


def test_missing_driver_is_told(nvml: Any) -> None:
    nvml.failing["nvmlInit"] = "NVML Shared Library Not Found"
    found = open_device("GPU-aaa")
    assert found == Unavailable("NVML does not start: NVML Shared Library Not Found")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = open_device("GPU-aaa")
    assert isinstance(found, Unavailable)
    assert "pip install 'lorafa-prof[gpu]'" in found.reason


@pytest.mark.parametrize(
    ("function", "read"),
    [
        ("nvmlDeviceGetMemoryInfo", lambda device: device.device_used_bytes()),
        ("nvmlDeviceGetComputeRunningProcesses", lambda device: device.process_used_bytes(1)),
        ("nvmlDeviceGetTotalEnergyConsumption", lambda device: device.energy_mj()),
        ("nvmlDeviceGetComputeRunningProcesses", lambda device: device.processes()),
        ("nvmlDeviceGetCurrentClocksEventReasons", lambda device: device.slowed_by()),
        ("nvmlSystemGetDriverVersion", lambda device: device.driver_version()),
    ],
)
def test_each_failure_carries_its_reason(nvml: Any, function: str, read: Any) -> None:
    nvml.processes = [(1, 10)]
    device = opened()
    assert not isinstance(read(device), Unavailable)
    nvml.failing[function] = "Not Supported"
    found = read(device)
    assert isinstance(found, Unavailable)
    assert "Not Supported" in found.reason


def test_process_is_found_among_others(nvml: Any) -> None:
    nvml.processes = [(7, 70), (8, 80)]
    assert opened().process_used_bytes(8) == 80


def test_absent_process_is_not_zero(nvml: Any) -> None:
    nvml.processes = [(7, 70)]
    found = opened().process_used_bytes(8)
    assert isinstance(found, Unavailable)
    assert "no process 8" in found.reason


def test_hidden_process_memory_is_not_zero(nvml: Any) -> None:
    nvml.processes = [(8, None)]
    assert isinstance(opened().process_used_bytes(8), Unavailable)


@pytest.mark.parametrize(
    ("given", "expected"), [("a7bf-de5d", "GPU-a7bf-de5d"), ("GPU-a7bf-de5d", "GPU-a7bf-de5d")]
)
def test_uuid_of_torch_is_written_as_nvml_does(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    asked: list[int] = []

    def properties(index: int) -> SimpleNamespace:
        asked.append(index)
        return SimpleNamespace(uuid=given)

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert torch_device_uuid() == expected
    assert torch_device_uuid(1) == expected
    assert asked == [3, 1]


@pytest.mark.gpu
@needs_gpu
def test_real_device_sees_an_allocation() -> None:
    device = open_device(torch_device_uuid())
    assert isinstance(device, NvmlDevice), device
    before = device.device_used_bytes()
    block = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    after = device.device_used_bytes()
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before >= block.numel()
    process = device.process_used_bytes(os.getpid())
    assert isinstance(process, Unavailable) or process >= block.numel()
    device.close()


def test_processes_and_reasons_of_low_clocks_are_told(nvml: Any) -> None:
    nvml.processes = [(7, 70), (8, None)]
    assert opened().processes() == {7: 70, 8: None}
    nvml.clock_reasons = 0x04 | 0x20 | 0x80  # a power cap is what full load brings
    assert opened().slowed_by() == ("heat", "power brake")
