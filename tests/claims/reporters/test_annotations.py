"""GitHub's workflow commands, read back as its runner does."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from made_up_judgements import ALL_STATES, CELL_FAILED, FAILS, UNKNOWN, WELL, judgements

from lorafa_prof.claims.finding import Judgement
from lorafa_prof.claims.reporters.annotations import workflow_commands

Command = tuple[str, dict[str, str], str]


def read(line: str) -> Command:
    """As ActionCommand.TryParseV2 of actions/runner: up to the next "::", split at commas, then unescaped."""
    assert line.startswith("::")
    head, data = line[2:].split("::", 1)
    level, _, rest = head.partition(" ")
    properties = dict(part.split("=", 1) for part in rest.split(",")) if rest else {}
    return level, {key: unescaped(value) for key, value in properties.items()}, unescaped(data)


def unescaped(text: str) -> str:
    for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(written, meant)
    return text


def commands(judgement: Judgement, root: Path) -> list[Command]:
    return [read(line) for line in workflow_commands([judgement], root).splitlines()]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_for_each_finding_that_does_not_hold_and_each_note(root: Path) -> None:
    assert commands(ALL_STATES, root) == [
        (
            "error",
            {"file": "claims.yaml", "line": "31", "title": "held bytes, of PEFT"},
            "fails: peft-lora-fa r8: 42.729 GiB, expected ≤ 33.354 GiB, +9.375 GiB\n"
            "what makes the difference in peft-lora-fa r8, above all +2.000 GiB: "
            "32 × bfloat16[8×1024×4096] linear_input in layers.*.q_proj (peft/layer.py:812)",
        ),
        (
            "warning",
            {"title": "step time"},
            "cannot be judged: lora r8: expected ≤ 700 ms, the twin has no clock",
        ),
        ("notice", {"title": "claims"}, "predicted for 5.17"),
    ]


def test_nothing_is_said_of_what_holds(root: Path) -> None:
    assert workflow_commands([WELL], root) == ""


def test_a_cell_that_failed_is_an_error(root: Path) -> None:
    assert commands(CELL_FAILED, root) == [("error", {"title": "broken"}, "failed unexpectedly: lora r8 b2")]


def test_why_there_are_no_culprits(root: Path) -> None:
    finding = replace(FAILS, culprits=(), culprits_title="what differs is temporary")
    ((_, _, message),) = commands(Judgement("t", (finding,), 3), root)
    assert message.splitlines()[1:] == ["what differs is temporary"]


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("s/claims.yaml", {"file": "sub/s/claims.yaml", "line": "31"}),
        ("../claims.yaml", {"file": "claims.yaml", "line": "31"}),
        ("../../claims.yaml", {}),
        ("/somewhere/else.yaml", {}),
    ],
)
def test_files_are_told_from_the_root_of_the_repository(
    file: str, shown: dict[str, str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sub").mkdir()
    monkeypatch.chdir(root / "sub")
    ((_, properties, _),) = commands(Judgement("t", (replace(FAILS, file=file),), 3), root)
    assert properties == {**shown, "title": FAILS.name}


def test_an_absolute_file_in_the_repository(root: Path) -> None:
    finding = replace(UNKNOWN, file=str(root / "a.yaml"))
    ((_, properties, _),) = commands(Judgement("t", (finding,), 3), root)
    assert properties == {"file": "a.yaml", "title": UNKNOWN.name}


def test_signs_that_end_a_property_or_a_line_are_escaped(root: Path) -> None:
    finding = replace(UNKNOWN, name="a:b,c=d::e 50% %0A", file="odd,name:1.yaml")
    line = workflow_commands([Judgement("t", (finding,), 3)], root)
    assert line.startswith(
        "::warning file=odd%2Cname%3A1.yaml,title=a%3Ab%2Cc=d%3A%3Ae 50%25 %250A::cannot be judged: "
    )


@settings(max_examples=100)
@given(judgements)
def test_any_text_stays_on_its_line(judgement: Judgement) -> None:
    lines = workflow_commands([judgement], Path.cwd()).split("\n")
    amiss = [finding for finding in judgement.findings if finding.state != "pass"]
    assert len(lines) - 1 == len(amiss) + len(judgement.cells_failed) + len(judgement.notes)
    assert lines.pop() == ""
    for level, properties, message in map(read, lines):
        assert level in ("error", "warning", "notice")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x85\u2028]", properties["title"] + message)
