"""Whatever a scenario, an override or a config says: one line, in time, and no exception of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzzing.effort import effort
from fuzzing.ended import check_ends_well
from fuzzing.odd_json import configs
from fuzzing.written_scenarios import PLAIN, scenarios, settings_texts
from hypothesis import given

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.claims.checks import checks_of
from lorafa_prof.errors import UsageError
from lorafa_prof.running.plan import check_cells
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario


def on_cpu(device: str, gpu: str) -> ResolvedDevice:
    if device not in ("auto", "cpu"):
        raise UsageError(f"unknown device '{device}'", about="device")
    return ResolvedDevice("cpu", None)


def planned(file: Path, *overrides: str) -> None:
    """All that happens before a cell runs."""
    loaded = load_scenario(file, overrides)
    cells = expand(loaded, on_cpu)
    checks_of(loaded, [plan.cell for plan in cells])
    check_cells(loaded, cells)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@effort(120)
@given(scenarios())
def test_any_scenario(folder, text):
    (folder / "s.yaml").write_bytes(text.encode(errors="surrogatepass"))
    check_ends_well(lambda: planned(folder / "s.yaml"))


@effort(100)
@given(settings_texts())
def test_any_override(folder, override):
    (folder / "plain.yaml").write_text("".join(f"{key}: {value}\n" for key, value in PLAIN.items()))
    check_ends_well(lambda: planned(folder / "plain.yaml", override))


@effort(60)
@given(configs())
def test_any_config(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    changed = {**PLAIN, "model": str(folder / "config.json")}
    (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in changed.items()))
    check_ends_well(lambda: planned(folder / "config.yaml"))
