from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lorafa_prof.cli.list import SECTIONS, first_sentence, list_command


def listed(*arguments: str) -> Result:
    return CliRunner().invoke(list_command, arguments)


def test_sources_are_told_where_they_are_asked_for() -> None:
    header = listed("gpus").stdout.splitlines()[1]
    assert header.split("  ")[-1] == "TB/s"
    with_sources = listed("gpus", "--sources").stdout.splitlines()
    assert with_sources[1].endswith("  source")
    assert all("https://" in line for line in with_sources[2:])


def test_json_has_all_sections_with_their_sources() -> None:
    told = json.loads(listed("--json").stdout)
    assert told.keys() == {"schema_version", *SECTIONS}
    assert all("https://" in gpu["source"] for gpu in told["gpus"])
    assert {gpu["name"]: gpu["bytes to CUDA"] for gpu in told["gpus"]}["rtx-4070"] is None
    assert json.loads(listed("methods", "--json").stdout).keys() == {"schema_version", "methods"}


def test_a_section_is_not_taken_for_the_file_of_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "write `lorafa-prof list gpus --json`" in str(listed("--json", "gpus").exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# One line.\n# Another.\nschema: 1\n", "One line."),
        (
            "# Of 2.5 GB, by arXiv\n# 2308.03303: that is\n# all. And so on.\n",
            "Of 2.5 GB, by arXiv 2308.03303: that is all.",
        ),
        ("# yaml-language-server: $schema=x.json\n# What it is\nschema: 1\n# Later.\n", "What it is"),
        ("schema: 1\n", ""),
    ],
)
def test_of_a_scenario_the_first_sentence_is_told_whole(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    assert first_sentence(file) == sentence


@pytest.mark.parametrize("section", SECTIONS)
def test_eighty_columns_are_enough(section: str, terminal: Callable[[int], Callable[[], list[str]]]) -> None:
    shown = terminal(80)
    list_command([section], standalone_mode=False)
    assert max(map(len, shown())) <= 80
