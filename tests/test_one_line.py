from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.one_line import all_texts, bounded_line, harmless, harmless_lines, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", " [31mred [0m"),
        ("c1 \x9b31m", "c1  31m"),
        ("user\u202enimda\u202c", "usernimda"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("a\u2028b\u2029c\nd", "a b c d"),
        ("half\ud800", "half"),
        ("é ✓ 日本 α·β", "é ✓ 日本 α·β"),
        ("", ""),
    ],
)
def test_controls_are_blanks_and_what_is_not_seen_is_nothing(text, shown):
    assert harmless(text) == shown


@given(st.text())
def test_no_text_keeps_a_character_that_steers(text):
    for shown in (harmless(text), one_line(text), bounded_line(text, 40)):
        assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert harmless_lines(text).count("\n") == text.count("\n")


def test_a_line_has_single_blanks_and_several_lines_stay_several():
    assert one_line(" a\t\n b ") == "a b"
    assert harmless_lines("a\x1b\r\nb\tc") == "a  \nb c"


def test_what_is_long_keeps_its_beginning_and_its_end():
    line = bounded_line("begin " + "x" * 10_000_000 + " end", 100)
    assert len(line) == 100
    assert (line[:6], line[-4:]) == ("begin ", " end")


def test_all_texts_of_data_are_changed_and_nothing_else():
    data = {"a\x1b": ["b\x1b", 1, None, {"c": ("d\x1b", 1.5, True)}]}
    assert all_texts(data, harmless) == {"a ": ["b ", 1, None, {"c": ["d ", 1.5, True]}]}
