"""A model's relative path starts at the scenario's file; of an option, at the current directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafa_prof.cell import ModelChoice, ResolvedDevice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import LoadedScenario, load_scenario
from lorafa_prof.scenario.select import selects

TEXT = """
schema: 1
name: own
model: [./net.json, sub, {name: sub/config.json}, tiny-llama, owner/name]
method: full-ft
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario in a folder that is not the current one, where nothing lies."""
    folder = tmp_path / "scenarios"
    config = PRESETS["tiny-llama"].make_config()
    for name in ("net.json", "sub/config.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        config.to_json_file(folder / name)
    (folder / "own.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return Path("scenarios/own.yaml")


def folders(loaded: LoadedScenario) -> list[str]:
    return [model.folder for model in loaded.scenario.model]


def test_paths_start_at_the_file_and_what_is_none_has_no_folder(file: Path) -> None:
    loaded = load_scenario(file)
    assert folders(loaded) == ["scenarios", "scenarios", "scenarios", "", ""]
    for model in loaded.scenario.model[:3]:
        assert resolve_model(model).config.hidden_size == 64


def test_cells_have_the_name_and_id_of_before(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cells(path: Path) -> list[str]:
        planned = expand(load_scenario(path), lambda *_: ResolvedDevice("cpu", None))
        assert all(selects({"model": "./net.json"}, plan.cell) for plan in planned[:1])
        return [plan.cell.cell_id for plan in planned]

    from_above = cells(file)
    monkeypatch.chdir(file.parent)
    assert cells(Path(file.name)) == from_above


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("model=./net.json", [""]),
        ("model[0]=./net.json", ["", "scenarios", "scenarios", "", ""]),
        ("model[2].name=./other.json", ["scenarios", "scenarios", "", "", ""]),
        ("batch=2", ["scenarios", "scenarios", "scenarios", "", ""]),
    ],
)
def test_a_path_of_the_command_line_starts_where_it_was_typed(
    file: Path, option: str, expected: list[str]
) -> None:
    assert folders(load_scenario(file, [option])) == expected


def test_a_path_that_leads_nowhere_is_told_with_where_it_started() -> None:
    choice = ModelChoice(name="./nett.json", folder="scenarios")
    with pytest.raises(UsageError, match=r"'./nett.json': no such file or directory in scenarios, the scen"):
        resolve_model(choice)
