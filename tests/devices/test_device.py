from __future__ import annotations

import pytest
import torch
from tiny_cells import tiny_cell

from lorafa_prof.cell import ResolvedDevice, device_kind, twin_device, twin_gpu
from lorafa_prof.devices.device import (
    cell_on_twin,
    gpu_name,
    resolve_device,
    resolve_twin,
    resolve_twin_of_gpu_here,
)
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


@pytest.fixture
def unknown_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "ACME Tensor")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_a_twin_in_place_of_any_device_is_of_the_gpu_here(device, h100):
    assert resolve_twin_of_gpu_here(device, "t4") == ResolvedDevice("sim:h100-80gb", "h100-80gb")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
@pytest.mark.parametrize("here", ["no_gpu", "unknown_gpu"])
def test_without_a_gpu_that_has_a_twin_it_is_of_the_scenarios(device, here, request):
    request.getfixturevalue(here)
    assert resolve_twin_of_gpu_here(device, "t4") == ResolvedDevice("sim:t4", "t4")


def test_a_twin_that_is_named_stays_and_an_unknown_device_is_told(h100):
    assert resolve_twin_of_gpu_here("sim:t4", "h200") == ResolvedDevice("sim:t4", "t4")
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        resolve_twin_of_gpu_here("gpu", "h200")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_fit_asks_the_twin_of_the_scenarios_gpu(device, h100):
    assert resolve_twin(device, "h200") == ResolvedDevice("sim:h200", "h200")


def test_fit_asks_the_twin_that_the_device_names(h100):
    assert resolve_twin("sim:t4", "h200") == ResolvedDevice("sim:t4", "t4")


def test_the_twin_of_a_cell():
    twin = tiny_cell(device="sim:t4", gpu="t4")
    assert cell_on_twin(twin) is twin
    measured = tiny_cell(device="cuda", gpu="h200")
    assert cell_on_twin(measured) == measured.model_copy(update={"device": "sim:h200"})
    assert cell_on_twin(tiny_cell(device="cuda", gpu="acme")) is None
    assert cell_on_twin(tiny_cell(device="cpu")) is None


def test_what_a_device_is_by_its_name():
    assert [device_kind(name) for name in ("cuda", "cuda:1", "cpu", "sim:t4")] == [
        "cuda",
        "cuda",
        "cpu",
        "sim",
    ]
    assert (twin_gpu("sim:t4"), twin_gpu("cuda"), twin_device("t4")) == ("t4", None, "sim:t4")
