from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from lorafa_prof.claims.gate import gate_of
from lorafa_prof.cli.list import SECTIONS, list_command
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.errors import ScenarioError
from lorafa_prof.running.plan import check_cells
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.shipped import find_scenario, scenarios_folder, shipped_scenarios


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_shipped_scenario_can_be_run(name):
    file = shipped_scenarios()[name]
    loaded = load_scenario(file, ["device=sim:h100-80gb"])
    planned = expand(loaded, resolve_device)
    check_cells(loaded, planned)
    assert loaded.scenario.name == Path(name).name, "its results' folder would be called otherwise"
    methods = {plan.cell.method.name for plan in planned}
    assert len(methods) > 1, "a scenario here compares methods"


@pytest.mark.parametrize("name", [name for name in shipped_scenarios() if name.startswith("claims/")])
def test_every_shipped_gate_makes_claims_with_sources(name):
    gate = gate_of(load_scenario(shipped_scenarios()[name]), None)
    assert gate.checks
    assert all(check.claim.source or check.expected.from_baseline for check in gate.checks)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_shipped_scenario_begins_with_what_it_shows(name):
    comment = []
    for line in shipped_scenarios()[name].read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    assert len(" ".join(comment).split()) >= 10
    assert "What to look at:" in " ".join(comment)


def test_list_shows_every_section_and_every_scenario():
    result = CliRunner().invoke(list_command)
    assert result.exit_code == 0, result.output
    titles = [line.removeprefix("# ") for line in result.output.splitlines() if line.startswith("# ")]
    sections = [
        "models",
        "methods",
        "optimizers",
        "gpus",
        "metrics",
        "tasks",
        "scenarios",
        "figures",
        "kernels",
    ]
    assert titles == list(SECTIONS) == sections
    scenarios = CliRunner().invoke(list_command, ["scenarios"]).output.splitlines()[2:]
    assert [line.split()[0] for line in scenarios] == list(shipped_scenarios())
    assert all(len(line.split()) > 5 for line in scenarios)
    for section in SECTIONS:
        assert len(CliRunner().invoke(list_command, [section]).output.splitlines()) > 2


def test_a_scenario_is_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quickstart = scenarios_folder() / "quickstart.yaml"
    assert find_scenario("quickstart") == quickstart
    assert find_scenario("scenarios/quickstart.yaml") == quickstart
    assert find_scenario("quickstart.yaml") == quickstart
    assert find_scenario(str(quickstart)) == quickstart
    Path("quickstart").mkdir()  # results kept here hide nothing
    assert find_scenario("quickstart") == quickstart
    Path("quickstart.yaml").write_text("mine")
    assert find_scenario("quickstart.yaml") == Path("quickstart.yaml")


@pytest.mark.parametrize("name", ["quickstrt", "scenarios/quickstrt.yaml", "quickstrt.yml"])
def test_an_unknown_one_is_told_with_the_nearest(name):
    with pytest.raises(ScenarioError) as error:
        find_scenario(name)
    assert str(error.value).startswith(f"{name}: no such file")
    assert "did you mean 'quickstart'" in str(error.value)
