from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from cells import TWIN
from click.testing import CliRunner
from reported_runs import cell
from tiny_cells import tiny_cell

from lorafa_prof.cell import MethodChoice
from lorafa_prof.cli.main import cli
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.methods.base import METHODS
from lorafa_prof.report.reproduce import one_cell_scenario, reproducing_command
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import validated_scenario
from lorafa_prof.scenario.options import validated_options
from lorafa_prof.scenario.yaml_data import parse_yaml
from lorafa_prof.scenario.yaml_lines import Document


def command(words: str, device: str | None = TWIN, *, written: str = "auto") -> str | None:
    provenance = {"command": shlex.split(words), "scenario": {"device": [written]}}
    return reproducing_command(provenance, "cell-1", device)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"peft"}))
def test_the_scenario_of_one_cell_is_that_cell(method: str) -> None:
    if method not in METHODS:
        pytest.skip("not installed")
    given = tiny_cell(method="lora-fa", device=TWIN, padding=0.25, accumulation=2, instruments=("fidelity",))
    chosen = METHODS[method]
    options = {} if "rank" not in chosen.options.model_fields else {"rank": 8}
    complete = validated_options(chosen, options)
    dtype = chosen.default_adapter_dtype(given.dtype) if chosen.default_adapter_dtype else given.dtype
    wanted = given.model_copy(
        update={"method": MethodChoice(name=method, options=complete), "adapter_dtype": dtype}
    )
    # As it stands in the page: a line for each key, its value as JSON.
    written = "".join(f"{key}: {json.dumps(value)}\n" for key, value in one_cell_scenario(wanted).items())
    loaded = validated_scenario(Document(Path("cell.yaml"), *parse_yaml(written)), [])
    assert [plan.cell for plan in expand(loaded, resolve_device)] == [wanted]


def test_a_run_of_lengths_stays_one() -> None:
    wanted = tiny_cell(method="full-ft", device=TWIN).model_copy(update={"seq": 48, "lengths": (16, 48, 32)})
    written = "".join(f"{key}: {json.dumps(value)}\n" for key, value in one_cell_scenario(wanted).items())
    loaded = validated_scenario(Document(Path("cell.yaml"), *parse_yaml(written)), [])
    assert [plan.cell for plan in expand(loaded, resolve_device)] == [wanted]


def test_an_option_that_is_a_list_stays_one_value() -> None:
    assert one_cell_scenario(
        cell().model_copy(update={"method": MethodChoice(name="lora", options={"targets": ["q", "v"]})})
    )["method"] == {"name": "lora", "targets": [["q", "v"]]}


def test_the_command_keeps_what_is_measured_and_says_which_cell_and_where_to() -> None:
    again = "-k cell-1 -o out/again"
    assert command("lorafa-prof run a.yaml --set batch=4 -o there -k lora") == (
        f"lorafa-prof run a.yaml --set batch=4 --device {TWIN} {again}"
    )
    assert command("lorafa-prof run a.yaml", device="cuda") == f"lorafa-prof run a.yaml --device cuda {again}"
    assert command("lorafa-prof run a.yaml", "cuda", written="cuda") == f"lorafa-prof run a.yaml {again}"
    assert command("lorafa-prof run 'my file.yaml'", device=None) == f"lorafa-prof run 'my file.yaml' {again}"


def test_another_command_than_run_has_no_such_form() -> None:
    assert command("lorafa-prof check a.yaml") is None
    assert reproducing_command({}, "cell-1", "cpu") is None
    assert reproducing_command({"command": "lorafa-prof run"}, "cell-1", "cpu") is None


def test_the_command_finds_its_cell(tmp_path: Path) -> None:
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(
        "schema: 1\nname: mine\nmodel: tiny-llama\nmethod: [full-ft, {name: lora, rank: [4, 8]}]\n"
    )

    def planned(*arguments: str) -> list[str]:
        done = CliRunner().invoke(cli, [*arguments, "--dry-run"], obj=None, catch_exceptions=False)
        assert done.exit_code == 0
        return [line.split()[0] for line in done.stdout.splitlines()[2:]]

    run = ["run", str(scenario), "--device", TWIN]
    wanted = planned(*run)[2]
    provenance = {"command": ["lorafa-prof", *run[:2]], "scenario": {"device": ["auto"]}}
    written = reproducing_command(provenance, wanted, TWIN)
    assert written is not None
    assert planned(*shlex.split(written)[1:]) == [wanted]
