from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    """pynvml replaced by the fake beside this file; yields the state behind it."""
    spec = importlib.util.spec_from_file_location("fake_nvml", Path(__file__).with_name("fake_nvml.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses looks the module up by name while it is being executed.
    monkeypatch.setitem(sys.modules, "fake_nvml", module)
    spec.loader.exec_module(module)
    fake = module.FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake.module())
    return fake
