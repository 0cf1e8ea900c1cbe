from __future__ import annotations

from pathlib import Path

import pytest

from lorafa_prof.errors import (
    MOST_CHARACTERS,
    LorafaProfError,
    NothingToJudgeError,
    ScenarioError,
    UsageError,
    first_line,
)


def test_exit_codes_are_those_of_the_contract():
    assert LorafaProfError.exit_code == 1
    assert UsageError.exit_code == ScenarioError.exit_code == 2
    assert NothingToJudgeError.exit_code == 4


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ({"file": Path("s.yaml"), "line": 3, "key": "method[1].rank"}, "s.yaml:3: method[1].rank: too large"),
        ({"file": "s.yaml", "key": "rank"}, "s.yaml: rank: too large"),
        ({"line": 3}, "line 3: too large"),
        ({"file": "s.yaml"}, "s.yaml: too large"),
        ({}, "too large"),
    ],
)
def test_a_scenario_error_names_what_is_known_of_its_place(place, line):
    assert str(ScenarioError("too large", **place)) == line


def test_an_error_knows_the_setting_it_is_about():
    assert UsageError("too large", about="rank").about == "rank"
    assert LorafaProfError("too large").about is None


def test_of_an_errors_text_a_line_is_told_that_is_bounded_and_steers_nothing():
    assert first_line(ValueError("\n a \x1b[31mb\tc\u202ed\ud800\nsecond")) == "a [31mb cd"
    assert first_line(ValueError("é ✓ 日本")) == "é ✓ 日本"
    long = first_line(ValueError("x" * 20_000_000))
    assert len(long) == MOST_CHARACTERS
    assert long.strip("x") == " […] "


def test_an_error_without_a_text_is_told_by_its_type():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    assert first_line(Mute()) == "Mute"
    assert first_line(ValueError("  \n ")) == "ValueError"
