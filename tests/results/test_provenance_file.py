from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cells import make_cell

from lorafa_prof.results.provenance import environment
from lorafa_prof.results.provenance_file import environment_difference, write_provenance
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import Store
from lorafa_prof.scenario.load import load_scenario

NOW: dict[str, Any] = {
    "packages": {"torch": "2.13.0", "transformers": "5.17.0", "peft": None},
    "torch": {"cuda": None, "commit": "abc"},
    "allocator": {"PYTORCH_ALLOC_CONF": None},
    "host": {"cpu": "AMD EPYC", "memory_bytes": 1},
    "source": {"commit": "123", "dirty": False},
}


def result_of(batch: int, environment: dict[str, Any], device: str = "cpu") -> CellResult:
    cell = make_cell(batch=batch, device=device)
    return CellResult(cell=cell, row={"status": "ok"}, environment=environment)


def changed(*path: str, to: Any) -> dict[str, Any]:
    other = copy.deepcopy(NOW)
    place = other
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return other


def test_the_file_says_what_ran_where(tmp_path):
    (tmp_path / "s.yaml").write_text("schema: 1\nname: x\nmodel: tiny-llama\nmethod: lora\n")
    scenario = load_scenario(tmp_path / "s.yaml", ["batch=3"]).scenario
    old = changed("packages", "torch", to="2.12.0")
    results = [result_of(1, NOW), result_of(2, old), result_of(3, NOW), result_of(4, {})]
    store = Store(tmp_path)
    write_provenance(store, scenario, results, ["run", "s.yaml", "--set", "batch=3"])
    written = json.loads((tmp_path / "provenance.json").read_text())
    assert written["schema_version"] == 1
    assert written["command"] == ["lorafa-prof", "run", "s.yaml", "--set", "batch=3"]
    assert written["cells"] == [result.cell.cell_id for result in results]
    assert written["environments"] == [NOW, old]
    assert written["scenario"]["schema"] == 1
    assert written["scenario"]["batch"] == [3]
    assert written["scenario"]["optimizer"] == ["adamw"], "a default is part of the scenario as resolved"
    again = tmp_path / "again.yaml"
    again.write_text(json.dumps({k: v for k, v in written["scenario"].items() if v is not None}))
    assert load_scenario(Path(again)).scenario == scenario, "it can be run again as it stands"


@pytest.mark.parametrize(
    ("old", "device", "words"),
    [
        (changed("packages", "torch", to="2.12.0"), "cpu", "torch 2.12.0 (now 2.13.0)"),
        (changed("packages", "peft", to="0.21.0"), "cuda", "peft 0.21.0 (now none)"),
        (changed("torch", "cuda", to="13.0"), "cuda", "CUDA 13.0 (now none)"),
        (
            changed("allocator", "PYTORCH_ALLOC_CONF", to="max_split_size_mb:64"),
            "cuda",
            "PYTORCH_ALLOC_CONF max_split_size_mb:64 (now none)",
        ),
        (changed("host", "cpu", to="Intel Xeon"), "cpu", "CPU Intel Xeon (now AMD EPYC)"),
    ],
)
def test_cells_from_elsewhere_are_told_in_one_line(old, device, words):
    said = environment_difference([result_of(1, NOW, device), result_of(2, old, device)], NOW)
    assert said == f"1 kept cell was measured with {words}; --rerun all measures everything alike"


def test_what_does_not_bear_on_a_measurement_is_not_told():
    for same in (
        NOW,
        changed("source", "commit", to="456"),
        changed("host", "memory_bytes", to=2),
        {},  # of a cell that died
    ):
        assert environment_difference([result_of(1, same)], NOW) is None
    other_cpu = changed("host", "cpu", to="Intel Xeon")
    assert environment_difference([result_of(1, other_cpu, "cuda")], NOW) is None
    assert environment_difference([], NOW) is None


def test_this_machine_is_like_itself():
    here = environment("cpu")
    assert environment_difference([result_of(1, here)], json.loads(json.dumps(here))) is None
    telling = {**here, "packages": {**here["packages"], "torch": "1.0"}}
    assert "torch 1.0 (now 2" in str(environment_difference([result_of(1, telling)], here))
