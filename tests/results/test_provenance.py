from __future__ import annotations

import getpass
import json
import platform
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lorafa_prof.instruments import nvml
from lorafa_prof.results.provenance import environment, package_version, source_state


def forbid_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("CUDA was touched")

    for name in ("_lazy_init", "is_available", "device_count", "current_device", "get_device_properties"):
        monkeypatch.setattr(torch.cuda, name, refuse)


@pytest.mark.parametrize("device", ["cpu", "sim:h100-80gb"])
def test_without_a_cuda_device_cuda_is_not_touched(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    forbid_cuda(monkeypatch)
    assert environment(device)["gpu"] is None


def test_cuda_is_looked_at_for_a_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_cuda(monkeypatch)
    with pytest.raises(AssertionError, match="CUDA was touched"):
        environment("cuda")


def test_absent_gpu_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment("cuda")["gpu"] == {"name": None, "reason": "PyTorch sees no CUDA device"}


@pytest.mark.parametrize(("device", "index"), [("cuda", 1), ("cuda:0", 0)])
def test_gpu_is_described(monkeypatch: pytest.MonkeyPatch, device: str, index: int) -> None:
    def properties(asked: int) -> SimpleNamespace:
        return SimpleNamespace(
            name="NVIDIA H100 80GB HBM3",
            uuid=f"u{asked}",
            total_memory=85 * 10**9,
            major=9,
            minor=0,
            multi_processor_count=132,
        )

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "native")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(nvml, "open_device", lambda uuid: nvml.Unavailable(f"no NVML for {uuid}"))
    gpu = environment(device)["gpu"]
    assert gpu["catalogue_name"] == "h100-80gb"
    assert gpu["uuid"] == f"GPU-u{index}"
    assert gpu["count"] == 2
    assert gpu["memory_bytes"] == 85 * 10**9
    assert gpu["compute_capability"] == "9.0"
    assert gpu["driver"] is None
    assert gpu["reason"] == f"no NVML for GPU-u{index}"


def test_versions_and_absent_packages() -> None:
    packages = environment("cpu")["packages"]
    assert packages["torch"] == torch.__version__
    assert packages["lorafa-prof"] is not None
    assert "liger-kernel" in packages
    assert package_version("no-such-distribution") is None


def test_allocator_settings_and_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = environment("cpu")
    assert found["allocator"]["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert found["allocator"]["PYTORCH_CUDA_ALLOC_CONF"] is None
    assert found["cuda_visible_devices"] == "1"


def test_is_json_without_personal_data(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(environment("cpu"))
    assert str(Path.home()) not in text
    # "vm" or "root" are parts of other words; only a telling name can be looked for.
    for private in (platform.node(), getpass.getuser()):
        assert len(private) < 6 or private not in text


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "lorafa_prof").mkdir()
    (tmp_path / "lorafa_prof" / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_clean_checkout(checkout: Path) -> None:
    assert source_state(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.parametrize("name", ["a.py", "new_method.py"])
def test_changed_or_new_source_is_dirty(checkout: Path, name: str) -> None:
    (checkout / "lorafa_prof" / name).write_text("a = 2\n")
    assert source_state(checkout)["dirty"] is True


def test_files_beside_the_package_are_not_its_source(checkout: Path) -> None:
    (checkout / "results.csv").write_text("x\n")
    assert source_state(checkout)["dirty"] is False


def test_git_variables_of_a_hook_do_not_mislead(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("other")))
    assert source_state(checkout)["commit"] == commit


def test_package_inside_another_repository_has_no_commit(checkout: Path) -> None:
    assert source_state(checkout / "lorafa_prof")["reason"] == "not a checkout"


def test_failing_git_has_a_reason_without_the_path(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    found = source_state(tmp_path)
    assert found["commit"] is None
    assert found["reason"].startswith("git: ")
    assert str(tmp_path) not in found["reason"]


def test_absent_git_has_a_reason(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert source_state(checkout)["reason"] == "git: FileNotFoundError"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_real_gpu_is_described() -> None:
    gpu = environment("cuda")["gpu"]
    assert gpu["memory_bytes"] == torch.cuda.get_device_properties(0).total_memory
    assert gpu["driver"] is not None, gpu["reason"]
    print(f"{gpu['name']}: total_memory {gpu['memory_bytes']}")
