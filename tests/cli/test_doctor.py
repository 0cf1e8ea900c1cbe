from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from lorafa_prof.cli import doctor
from lorafa_prof.cli.doctor import Capability, doctor_command
from lorafa_prof.cli.list import list_command
from lorafa_prof.cli.tables import print_table
from lorafa_prof.instruments import nvml
from lorafa_prof.instruments.nvml import Unavailable
from lorafa_prof.running.progress_bar import tell_nobody


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """PyTorch as on a machine with one GPU, whose name and allocator the test can change."""
    state = SimpleNamespace(name="NVIDIA H100 80GB HBM3", backend="native", total_memory=79 * 2**30)
    monkeypatch.delenv("PYTORCH_NO_CUDA_MEMORY_CACHING", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: state)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: state.name)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: state.backend)
    monkeypatch.setattr(nvml, "torch_device_uuid", lambda index=None: "GPU-aaa")
    return state


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name in names else real(name, package)
    )


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_all_is_told_and_the_exit_is_0() -> None:
    result = CliRunner().invoke(doctor_command)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    lines = result.output.splitlines()
    assert len(lines) == 2 + len(doctor.PROBES)
    cuda = next(line for line in lines if line.startswith("CUDA device"))
    assert "no" in cuda.split()
    assert "--device sim:h100-80gb" in cuda
    assert any(line.startswith("storage following") and " ok " in line for line in lines)


@pytest.mark.usefixtures("no_gpu")
def test_json_holds_the_same() -> None:
    result = CliRunner().invoke(doctor_command, ["--json"])
    found = {each["name"]: each for each in json.loads(result.stdout)}
    assert len(found) == len(doctor.PROBES)
    assert found["CUDA device"]["ok"] is False
    assert found["disk"]["ok"] is True


@pytest.mark.usefixtures("no_gpu")
def test_every_no_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "peft", "fvcore", "liger_kernel", "matplotlib", "pynvml")
    lacking = [each for each in doctor.examine(tell_nobody) if not each.ok]
    assert len(lacking) >= 8
    assert all(each.reason and each.remedy for each in lacking)


@pytest.mark.parametrize(
    ("module", "probe", "remedy"),
    [
        ("peft", doctor.peft_peers, "pip install 'lorafa-prof[peft]'"),
        ("fvcore", doctor.fvcore_flops, "pip install 'lorafa-prof[flops]'"),
        ("pynvml", doctor.nvml_energy, "pip install 'lorafa-prof[gpu]'"),
    ],
)
def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, probe: Callable[[], Capability], remedy: str
) -> None:
    hide(monkeypatch, module)
    found = probe()
    assert not found.ok
    assert found.remedy == remedy


def test_present_gpu(gpu: SimpleNamespace) -> None:
    assert doctor.cuda_device() == Capability(
        "CUDA device", True, "NVIDIA H100 80GB HBM3, 79.000 GiB (1 visible)"
    )
    assert doctor.known_gpu().ok
    assert doctor.allocator_counters().ok


def test_unknown_gpu_has_no_mfu(gpu: SimpleNamespace) -> None:
    gpu.name = "NVIDIA GeForce RTX 4090 Laptop GPU"
    assert not doctor.known_gpu().ok


def test_other_allocators_have_other_counters(gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.backend = "cudaMallocAsync"
    assert "cudaMallocAsync" in doctor.allocator_counters().reason
    gpu.backend = "native"
    monkeypatch.setenv("PYTORCH_NO_CUDA_MEMORY_CACHING", "1")
    assert not doctor.allocator_counters().ok


@pytest.mark.usefixtures("gpu")
def test_nvml_reasons_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SimpleNamespace(
        uuid="GPU-aaa",
        device_used_bytes=lambda: 5,
        energy_mj=lambda: Unavailable("Not Supported"),
        close=lambda: None,
    )
    monkeypatch.setattr(nvml, "open_device", lambda uuid: device)
    assert doctor.nvml_memory().ok
    assert doctor.nvml_energy().reason == "Not Supported"
    monkeypatch.setattr(nvml, "open_device", lambda uuid: Unavailable("no driver"))
    assert doctor.nvml_memory().reason == "no driver"


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    assert not doctor.disk().ok


def test_table_off_a_terminal_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("t", ("name", "what"), [("a", "x" * 300), ("bbbbbb", "[gpu]")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["# t", "name    what", "a       " + "x" * 300, "bbbbbb  [gpu]"]


def test_terminal_table_keeps_square_brackets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table("t", ("name", "what"), [("a", "pip install 'lorafa-prof[gpu]'")])
    assert "lorafa-prof[gpu]" in capsys.readouterr().out


def test_list_gpus_and_metrics() -> None:
    gpus = CliRunner().invoke(list_command, ["gpus"])
    assert gpus.exit_code == 0, gpus.output
    row = next(line for line in gpus.output.splitlines() if line.startswith("h100-80gb"))
    assert row.split()[:4] == ["h100-80gb", "80", "85,017,493,504", "989.5"]
    metrics = CliRunner().invoke(list_command, ["metrics"])
    assert "activation_bytes" in metrics.output
    assert "cell_id" not in metrics.output


def test_list_refuses_other_words() -> None:
    assert CliRunner().invoke(list_command, ["gpu"]).exit_code == 2
