from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lorafa_prof.instruments.energy import EnergyReading, EnergyWindow
from lorafa_prof.instruments.nvml import NvmlDevice, Unavailable, open_device, torch_device_uuid


def clock_of(*times: float) -> Callable[[], float]:
    return iter(times).__next__


def opened() -> NvmlDevice:
    device = open_device("GPU-aaa")
    assert isinstance(device, NvmlDevice)
    return device


def test_window_yields_joules_and_seconds(nvml: Any) -> None:
    nvml.energy_mj = [5_000_000, 6_750_000]
    with EnergyWindow(opened(), clock=clock_of(10.0, 12.5)) as window:
        pass
    assert window.reading == EnergyReading(joules=1750.0, seconds=2.5)


def test_short_window_has_no_energy(nvml: Any) -> None:
    nvml.energy_mj = [5_000_000, 6_750_000]
    with EnergyWindow(opened(), clock=clock_of(10.0, 11.99)) as window:
        pass
    assert isinstance(window.reading, Unavailable)
    assert "1.99 s" in window.reading.reason


def test_without_nvml_the_reason_is_kept() -> None:
    with EnergyWindow(Unavailable("no driver"), clock=clock_of(0.0, 9.0)) as window:
        pass
    assert window.reading == Unavailable("no driver")


def test_card_without_a_counter(nvml: Any) -> None:
    nvml.failing["nvmlDeviceGetTotalEnergyConsumption"] = "Not Supported"
    with EnergyWindow(opened(), clock=clock_of(0.0, 9.0)) as window:
        pass
    assert isinstance(window.reading, Unavailable)
    assert "Not Supported" in window.reading.reason


def test_counter_that_stands_still_is_not_zero_joules(nvml: Any) -> None:
    nvml.energy_mj = [5_000_000]
    with EnergyWindow(opened(), clock=clock_of(0.0, 9.0)) as window:
        pass
    assert isinstance(window.reading, Unavailable)
    assert "did not advance" in window.reading.reason


def test_failed_pass_has_no_energy_and_raises(nvml: Any) -> None:
    nvml.energy_mj = [5_000_000, 6_750_000]
    window = EnergyWindow(opened(), clock=clock_of(0.0, 9.0))
    with pytest.raises(KeyError), window:
        raise KeyError("x")
    assert window.reading == Unavailable("the pass ended in KeyError")


def test_reading_before_the_end_is_unavailable(nvml: Any) -> None:
    with EnergyWindow(opened(), clock=clock_of(0.0, 9.0)) as window:
        assert isinstance(window.reading, Unavailable)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_real_card_draws_a_plausible_power() -> None:
    device = open_device(torch_device_uuid())
    assert isinstance(device, NvmlDevice), device
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.float16)
    begin = time.perf_counter()
    with EnergyWindow(device) as window:
        while time.perf_counter() - begin < 2.5:
            a @ a
            torch.cuda.synchronize()
    assert isinstance(window.reading, EnergyReading), window.reading
    assert 20 < window.reading.joules / window.reading.seconds < 1500
    device.close()
