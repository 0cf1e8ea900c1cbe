from __future__ import annotations

import pytest
import torch

from lorafa_prof.devices.here import gpu_here
from lorafa_prof.errors import UsageError


def there_is(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: name is not None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *args: name)


def test_the_gpu_is_the_catalogues(monkeypatch):
    there_is(monkeypatch, "NVIDIA H100 80GB HBM3")
    assert gpu_here().name == "h100-80gb"


def test_no_gpu_is_one_clear_line(monkeypatch):
    there_is(monkeypatch, None)
    with pytest.raises(UsageError, match=r"^verify needs a CUDA GPU; it compares the twin with it$"):
        gpu_here()


def test_a_gpu_without_a_twin_is_named(monkeypatch):
    there_is(monkeypatch, "Quantum 9000")
    with pytest.raises(UsageError, match="'Quantum 9000', is not in the catalogue"):
        gpu_here()
