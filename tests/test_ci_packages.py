"""CI's steps on what others wrote: licences, and known faults."""

from __future__ import annotations

import json
import subprocess
import sys
from email.message import Message
from importlib.metadata import Distribution
from typing import Any

import pytest
from programs import ROOT, program

licences, audit = program(".ci/licences.py"), program(".ci/audit.py")


class Installed(Distribution):
    """A distribution of these fields."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self._fields = fields

    @property
    def metadata(self) -> Any:
        message = Message()
        for name, value in self._fields:
            message[name] = value
        return message

    def read_text(self, filename: str) -> str | None:
        return None

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("fields", "expression"),
    [
        ([("License-Expression", "MIT AND 0BSD"), ("License", "something")], "MIT AND 0BSD"),
        ([("Classifier", "License :: OSI Approved :: Apache Software License")], "Apache-2.0"),
        ([("Classifier", "Typing :: Typed"), ("License", "MIT")], "MIT"),
        ([("License", "GPL-3.0-only\nlong text")], "GPL-3.0-only"),
        ([("License", "UNKNOWN")], "not stated"),
        ([], "not stated"),
    ],
)
def test_the_licence_is_what_the_metadata_says(fields, expression):
    assert licences.licence_of(Installed(("Name", "x"), *fields)) == expression


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT AND 0BSD", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND (GPL-3.0-only OR 0BSD)", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only", False),
        ("not stated", False),
        ("Proprietary", False),
    ],
)
def test_only_what_is_listed_is_allowed(expression, allowed):
    assert licences.is_allowed(expression, ["MIT", "0BSD"]) is allowed


def test_those_of_this_environment_are_allowed():
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/licences.py"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "torch" in done.stdout


def test_one_that_is_not_allowed_fails(monkeypatch, capsys):
    made = [Installed(("Name", "Typing_Extensions"), ("License", "AGPL-3.0")), Installed(("Name", "other"))]
    monkeypatch.setattr(licences, "distributions", lambda: made)
    assert licences.main() == 1
    assert "'AGPL-3.0' of typing-extensions is not allowed" in capsys.readouterr().err


FAULT = {"id": "CVE-1", "fix_versions": ["3"], "aliases": []}
SOUND = {"name": "a", "version": "1", "vulns": []}
FAULTY = {"name": "b", "version": "2", "vulns": [FAULT]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


def answered(monkeypatch, packages: list[dict[str, Any]]) -> None:
    monkeypatch.setattr(audit, "run", lambda arguments, **environment: json.dumps({"dependencies": packages}))


@pytest.mark.parametrize(
    ("packages", "code", "last"),
    [
        ([SOUND, SOUND], 0, "audit: no known fault in 2 packages"),
        ([SOUND, SKIPPED], 0, "audit: no known fault in 1 packages; 1 more are not known there"),
        ([SOUND, FAULTY], 1, "audit: 1 known faults in 2 packages"),
        (
            [SKIPPED],
            0,
            "audit: not reached, nothing was audited: the service knows none of the 1 packages from here",
        ),
    ],
)
def test_the_outcome_of_the_audit(monkeypatch, capsys, packages, code, last):
    answered(monkeypatch, packages)
    assert audit.main() == code
    *faults, summary = capsys.readouterr().out.splitlines()
    assert summary == last
    assert faults == (["b 2: CVE-1, mended in 3"] if code else [])


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; sys.exit('no network\\nhere')", "one: here"),
        ("import time; time.sleep(60)", "one had no answer in 1 s"),
    ],
)
def test_where_nothing_is_reached_it_says_so_in_a_line_and_passes(
    tmp_path, monkeypatch, capsys, program, why
):
    (tmp_path / "one.py").write_text(program)
    real = audit.run
    monkeypatch.setattr(audit, "MOST_S", 1)
    monkeypatch.setattr(audit, "run", lambda arguments, **_: real(["one"], PYTHONPATH=str(tmp_path)))
    assert audit.main() == 0
    assert capsys.readouterr().out == f"audit: not reached, nothing was audited: {why}\n"
