from __future__ import annotations

import pytest
import torch

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.devices.device import gpu_name, resolve_device
from lorafa_prof.errors import UsageError


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def h100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu():
    assert resolve_device("auto", "a100-80gb") == ResolvedDevice("sim:a100-80gb", "a100-80gb")
    assert resolve_device("cpu", "h100-80gb") == ResolvedDevice("cpu", None)
    with pytest.raises(UsageError, match="PyTorch sees no CUDA GPU here") as error:
        resolve_device("cuda", "h100-80gb")
    assert error.value.about == "device"


@pytest.mark.usefixtures("h100")
def test_with_a_gpu_it_is_the_one_that_is_there():
    assert resolve_device("auto", "a100-80gb") == ResolvedDevice("cuda", "h100-80gb")
    assert resolve_device("cuda", "a100-80gb") == ResolvedDevice("cuda", "h100-80gb")
    assert resolve_device("cpu", "a100-80gb") == ResolvedDevice("cpu", None)


@pytest.mark.usefixtures("h100")
def test_a_twin_is_of_the_gpu_that_the_device_names():
    assert resolve_device("sim:t4", "a100-80gb") == ResolvedDevice("sim:t4", "t4")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("device", "gpu", "about", "words"),
    [
        ("gpu", "h100-80gb", "device", "did you mean 'cpu'"),
        ("cuda:1", "h100-80gb", "device", "known: auto, cuda, cpu"),
        ("", "h100-80gb", "device", "unknown device ''"),
        ("sim:h100-80g", "a100-80gb", "device", "did you mean 'h100-80gb'"),
        ("sim:", "h100-80gb", "device", "unknown GPU ''"),
        ("sim", "h100-80gb", "device", "unknown device 'sim'"),
        ("cpu", "h100-80g", "gpu", "did you mean 'h100-80gb'"),
    ],
)
def test_what_there_is_not(device, gpu, about, words):
    with pytest.raises(UsageError) as error:
        resolve_device(device, gpu)
    assert words in str(error.value)
    assert error.value.about == about


def test_a_gpu_outside_the_catalogue_gets_a_name_that_files_can_have():
    assert gpu_name("NVIDIA H100 80GB HBM3") == "h100-80gb"
    assert gpu_name("ACME Tensor/Card (v2)") == "acme-tensor-card-v2"
