"""`lorafa-prof run --on`: what it takes, and what is wrong with it, in one line before any cell."""

from __future__ import annotations

import importlib.util

import pytest
from told_runs import Runs

from lorafa_prof.cli.place import _ray_address


@pytest.mark.parametrize(
    ("on", "address"),
    [
        ("ray", None),
        ("ray:10.0.0.1:6379", "10.0.0.1:6379"),
        ("ray://10.0.0.1:10001", "ray://10.0.0.1:10001"),
    ],
)
def test_forms_of_an_address(on, address):
    assert _ray_address(on) == address


def refused(run: Runs, *arguments: str) -> str:
    assert run(*arguments) == 2
    assert run.measured == []
    lines = [line for line in run.err.splitlines() if line not in ("loading PyTorch", "connecting to Ray")]
    assert len(lines) == 1, run.err
    return lines[0]


@pytest.mark.parametrize("on", ["dask", "ray:", "rays://10.0.0.1:1", ""])
def test_another_place_is_refused(run, on):
    assert refused(run, "--on", on) == f"lorafa-prof: --on {on}: write ray, ray:HOST:PORT or ray://HOST:PORT"


def test_without_ray_the_extra_is_named(run, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    assert "Ray is not installed: pip install 'lorafa-prof[ray]'" in refused(run, "--on", "ray")


def test_to_wait_for_a_gpu_is_of_this_machine(run):
    assert "Ray waits for a GPU" in refused(run, "--on", "ray", "--wait", "5")


def test_an_address_that_does_not_answer_is_one_line(run):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'lorafa-prof[ray]'")
    assert "no Ray cluster answers at 127.0.0.1:1: " in refused(run, "--on", "ray:127.0.0.1:1")


def test_one_that_nobody_typed_says_what_to_do(run, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'lorafa-prof[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert "run on this machine alone: RAY_ADDRESS=local" in refused(run, "--on", "ray")


def test_a_mistake_in_the_scenario_comes_first(run):
    assert "batch" in refused(run, "--on", "ray:127.0.0.1:1", "--set", "batch=x")
