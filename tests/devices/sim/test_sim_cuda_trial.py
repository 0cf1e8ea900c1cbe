"""A PyTorch that nobody tried is tried in a process of its own before this one is changed."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from ledger import H100

from lorafa_prof.devices.sim import cuda_build, cuda_trial
from lorafa_prof.devices.sim.cuda_trial import check_build, how_it_failed
from lorafa_prof.devices.sim.paths import _cuda_paths, cuda_paths
from lorafa_prof.errors import LorafaProfError

UNKNOWN = "9.9.0+cpu"


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each trial failed, on a PyTorch of which nothing is known."""
    made: list[str] = []

    def counted(context: AbstractContextManager[None]) -> str:
        made.append(how_it_failed(context))
        return made[-1]

    monkeypatch.setattr(torch, "__version__", UNKNOWN)
    monkeypatch.setattr(cuda_trial, "_outcome", [])
    monkeypatch.setattr(cuda_trial, "how_it_failed", counted)
    return made


def test_an_unknown_version_is_tried_once_in_a_process(trials: list[str]) -> None:
    check_build(_cuda_paths(H100, {}))
    check_build(_cuda_paths(H100, {}))
    assert trials == [""]


def test_a_known_version_is_not_tried(trials: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.13.1+cu130")
    monkeypatch.setattr(cuda_trial.sys, "platform", "linux")
    monkeypatch.setattr(cuda_trial.platform, "machine", lambda: "x86_64")
    check_build(_cuda_paths(H100, {}))
    assert trials == []


@pytest.mark.parametrize("system", [("darwin", "arm64"), ("linux", "aarch64")])
def test_it_is_tried_where_a_known_version_was_not(
    system: tuple[str, str], trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", "2.13.0")
    monkeypatch.setattr(cuda_trial.sys, "platform", system[0])
    monkeypatch.setattr(cuda_trial.platform, "machine", lambda: system[1])
    check_build(_cuda_paths(H100, {}))
    assert trials == [""]


def _says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_build, "_ANSWERED_YES", (5,))


def _jumps_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cuda_build._address

    def wrong(function: Any) -> int | None:
        return 8 if getattr(function, "__name__", "") == "Py_IsInitialized" else right(function)

    monkeypatch.setattr(cuda_build, "_address", wrong)


@pytest.mark.parametrize(
    ("break_it", "how"), [(_says_no, "fails: RuntimeError"), (_jumps_nowhere, "ends by SIG")]
)
def test_a_wrong_place_is_a_line_and_not_a_crash(
    break_it: Any, how: str, trials: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    break_it(monkeypatch)
    said = f"does not work on torch {UNKNOWN[:5]}.*{how}"
    with pytest.raises(LorafaProfError, match=said) as raised, cuda_paths(H100):
        pass
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""
    assert not torch.cuda.is_available()


def test_what_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_trial, "_LONGEST_S", 0.2)
    monkeypatch.setattr(cuda_trial, "small_step", lambda: os.read(os.pipe()[0], 1))
    assert how_it_failed(_cuda_paths(H100, {})).startswith("does not end")
