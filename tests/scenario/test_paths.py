"""Relative paths of a scenario start at its file; those of an option at the current directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from lorafa_prof.cell import ModelChoice, ResolvedDevice
from lorafa_prof.cli.main import cli
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


OLD = """schema: 1
name: own
model:
  - ./here.json
  - there
  - ./nowhere.json
  - {name: owner/name}
method: full-ft
task: {name: rows, data: items.jsonl}
"""


@pytest.fixture
def old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario whose paths start at the current directory, as they once did."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "own.yaml").write_text(OLD)
    config = PRESETS["tiny-llama"].make_config()
    for name in ("here.json", "there/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        config.to_json_file(tmp_path / name)
    (tmp_path / "items.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    return Path("scenarios/own.yaml")


def test_what_is_only_where_one_stands_is_read_there_with_a_note_of_each(old_file: Path) -> None:
    loaded = load_scenario(old_file)
    assert folders(loaded) == ["", "", "scenarios", ""]
    assert resolve_model(loaded.scenario.model[1]).config.hidden_size == 64
    assert loaded.scenario.task is not None
    assert loaded.scenario.task.data == "items.jsonl"
    said = "is not beside this file and is taken from the folder you are in; write"
    assert [note.partition(", since")[0] for note in loaded.notes] == [
        f"scenarios/own.yaml:4: model[0]: './here.json' {said} ../here.json",
        f"scenarios/own.yaml:5: model[1]: 'there' {said} ../there",
        f"scenarios/own.yaml:9: task.data: 'items.jsonl' {said} ../items.jsonl",
    ]


def test_what_is_beside_the_file_comes_before_what_is_where_one_stands(old_file: Path) -> None:
    beside = old_file.parent
    for name in ("here.json", "there", "items.jsonl"):
        (beside / name).symlink_to(Path("..") / name)
    loaded = load_scenario(old_file)
    assert loaded.notes == ()
    assert folders(loaded)[:2] == ["scenarios", "scenarios"]
    assert loaded.scenario.task is not None
    assert loaded.scenario.task.data == "scenarios/items.jsonl"


def test_a_path_of_the_command_line_is_noted_nowhere(old_file: Path) -> None:
    typed = ["model=./here.json", "task.data=items.jsonl"]
    assert load_scenario(old_file, typed).notes == ()


def test_the_notes_are_said_before_anything_runs(old_file: Path) -> None:
    done = CliRunner().invoke(cli, ["run", str(old_file), "--dry-run", "--set", "device=abacus"])
    assert "warning: scenarios/own.yaml:4: model[0]: './here.json' is not beside" in done.stderr
