from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.words.phrases import and_more, count, first_of, listed, one_line


@given(st.text(st.characters()))
def test_one_line_steers_no_terminal_and_fits_into_any_file(text):
    line = one_line(text)
    assert not {unicodedata.category(sign) for sign in line} & {"Cc", "Cs", "Zl", "Zp"}
    assert line == line.strip()
    line.encode()


def test_one_line_keeps_the_words():
    assert one_line(" a\n\tb\x1b[31m\u2028c ") == "a b [31m c"


@pytest.mark.parametrize(("number", "text"), [(0, "0 cells"), (1, "1 cell"), (1234, "1,234 cells")])
def test_things_are_counted(number, text):
    assert count(number, "cell") == text


def test_a_list_says_what_it_leaves_out():
    assert and_more(1234) == "and 1,234 more"
    assert first_of(["a", "b", "c"], 3) == "a, b, c"
    assert first_of(["a", "b", "c", "d"], 2) == "a, b, and 2 more"
    assert first_of(["a", "b", "c"], 2, between="; ") == "a; b; and 1 more"
    assert first_of([], 2) == ""


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_words_are_listed(words, text):
    assert listed(iter(words)) == text
