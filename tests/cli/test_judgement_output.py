"""Where a command that judges tells what came of it."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click
import pytest

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.cli.judgement_output import Outputs, judgement_options, tell
from lorafa_prof.errors import UsageError
from lorafa_prof.results import files

FAILS = Finding(
    "held", (Item("lora", "fail", "fails", "2 GiB", "≤ 1 GiB", "+1 GiB", 2),), "fails", file="c.yaml", line=7
)
JUDGEMENT = Judgement("claims", (FAILS,), 3)
TOLD = "1 claim: 1 fails\n"
ANNOTATION = "::error file=c.yaml,line=7,title=held::fails: lora: 2 GiB, expected ≤ 1 GiB, +1 GiB\n"


@click.command("judge")
@click.argument("name")
@judgement_options
@click.option("--code", type=int, default=3)
def judge(name: str, code: int, outputs: Outputs) -> int:
    """Judge NAME."""
    click.echo(f"judging {name}", err=True)
    tell(JUDGEMENT, outputs)
    return code


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = judge.main(["it", *arguments], standalone_mode=False)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_unless_asked_only_people_are_told_on_stdout(run: Run) -> None:
    code, out, err = run("--code", "4")
    assert (code, err) == (4, "judging it\n")
    assert out.startswith("claims\n✗ fails  held\n")
    assert out.endswith(TOLD)
    assert not list(Path().iterdir())


def test_every_form_goes_to_its_file_and_folders_are_made(run: Run) -> None:
    _, out, _ = run("--markdown", "a.md", "--junit", "new/folder/b.xml", "--json", "c.json", "--annotations")
    assert out.endswith(TOLD + ANNOTATION)
    assert Path("a.md").read_text("utf-8").startswith("## ❌ claims\n")
    assert ET.parse("new/folder/b.xml").getroot().tag == "testsuites"
    assert json.loads(Path("c.json").read_text("utf-8"))["judgements"][0]["title"] == "claims"
    assert sorted(path.name for path in Path().rglob("*") if path.is_file()) == ["a.md", "b.xml", "c.json"]


@pytest.mark.parametrize(
    ("option", "start"), [("--markdown", "## ❌ claims"), ("--junit", "<?xml"), ("--json", "{")]
)
def test_with_a_form_on_stdout_people_read_stderr(option: str, start: str, run: Run) -> None:
    _, out, err = run(option, "-", "--annotations")
    assert out.startswith(start)
    assert TOLD not in out
    assert "::error" not in out
    assert err.endswith(TOLD + ANNOTATION)


def test_annotations_start_at_the_root_of_the_repository(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(Path.cwd()))
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    assert "::error file=sub/c.yaml,line=7," in run("--annotations")[1]


def test_several_judgements_and_their_single_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell([JUDGEMENT, JUDGEMENT], Outputs())
    assert capsys.readouterr().out.splitlines()[-1] == "2 claims: 2 fail"


def test_on_a_terminal_it_is_coloured_and_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    tell(Judgement("t", (FAILS,), 3, notes=("word " * 20,)), Outputs())
    out = capsys.readouterr().out
    assert "\x1b[" in out
    assert max(map(len, out.splitlines())) <= 40 + len("\x1b[1;31m\x1b[0m" * 2)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--json", "-", "--junit", "-"), "--junit and --json both go to '-'; choose another for one"),
        (("--json", "x", "--junit", "x"), "--junit and --json both go to 'x'; choose another for one"),
        (("--json", "folder"), "--json: 'folder' is no file; name one, or write - for stdout"),
        (("--markdown", os.devnull), f"--markdown: '{os.devnull}' is no file; name one, or write - for"),
        (("--junit", "file/x"), "--junit: cannot write 'file/x': "),
        (("--junit", "a" * 300), "File name too long; choose another file"),
    ],
)
def test_what_cannot_be_written_is_found_before_anything_is_judged(
    arguments: tuple[str, ...], line: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Path("file").touch()
    with pytest.raises(UsageError) as told:
        run(*arguments)
    assert line in str(told.value)
    assert "\n" not in str(told.value)
    assert capsys.readouterr() == ("", "")


def test_a_file_that_fails_after_all_costs_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = files.write_atomically

    def full(path: Path, text: Any) -> None:
        if path.name == "a.md":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(path, text)

    monkeypatch.setattr(files, "write_atomically", full)
    with pytest.raises(UsageError, match=r"--markdown: cannot write 'a.md': No space left on device; choose"):
        run("--markdown", "a.md", "--junit", "b.xml")
    assert Path("b.xml").exists()
    assert capsys.readouterr().out.endswith(TOLD)
