from __future__ import annotations

from collections.abc import Callable

import pytest

from lorafa_prof.cli.tables import print_table

Terminal = Callable[[int], Callable[[], list[str]]]

HEADER = ("name", "always", "never", "about")
ROWS = [
    ("one", "the same", "-", "some words on the first"),
    ("two", "the same", "", "https://example.org/of/the/second"),
]


def test_off_a_terminal_every_cell_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("things", HEADER, ROWS)
    assert capsys.readouterr().out.splitlines()[2] == "one   the same  -      some words on the first"


def test_what_is_empty_goes_and_what_all_share_stands_above(terminal: Terminal) -> None:
    shown = terminal(30)
    print_table("things", HEADER, ROWS)
    assert shown() == [
        "things, all with always the",
        "same",
        "name  about",
        "one   some words on the first",
        "two   https://example.org/of/t",
        "      he/second",
    ]


def test_the_widest_column_is_narrowed_and_words_stay_whole(terminal: Terminal) -> None:
    shown = terminal(30)
    print_table("things", ("name", "about"), [("unbreakable-name", "one two three four five")])
    assert shown()[2:] == [
        "unbreakable-name  one two",
        "                  three four",
        "                  five",
    ]


def test_long_texts_stand_below(terminal: Terminal) -> None:
    shown = terminal(30)
    print_table("things", ("name", "source"), [row[::3] for row in ROWS], last_below=True)
    assert shown() == [
        "things",
        "name",
        "one",
        "two",
        "one: some words on the first",
        "two: https://example.org/of/the/second",
    ]
