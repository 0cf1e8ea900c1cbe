"""How GitHub reads it is tested with whole reports, in tests/claims/reporters and tests/report."""

from __future__ import annotations

import pytest

from lorafa_prof.words.markdown import code, escaped, escaped_html, fitting, header, row


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b.c", "a_b.c"),
        ("_a_ *b* `c`", "\\_a\\_ \\*b\\* \\`c\\`"),
        ("<b>|</b>", "&lt;b&gt;&#124;&lt;/b&gt;"),
        ("two\nlines", "two lines"),
        ("@you #1", "@\u200byou #\u200b1"),
        ("see https://x.y/a_b_c", "see https://x.y/a_b_c"),
        ("x" * 301, "x" * 300 + "…"),
    ],
)
def test_text_stands_as_it_is(text, written):
    assert escaped(text) == written


def test_within_html_markdown_has_no_say():
    assert escaped_html("<_a_> @you") == "&lt;_a_&gt; @\u200byou"


def test_code_is_code_where_that_can_be_written():
    assert [code(text) for text in ("layers.*.q_proj", "a|b", "")] == ["`layers.*.q_proj`", "a&#124;b", ""]


def test_a_table():
    assert header("a", "b") + row("1", "2") == "\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"


@pytest.mark.parametrize(
    ("room", "text"),
    [(9, "aaabbbccc"), (8, "aaabbb(1 row left out)"), (3, "aaa(2 rows left out)"), (0, "(3 rows left out)")],
)
def test_what_has_no_room_is_counted(room, text):
    assert fitting(iter(["aaa", "bbb", "ccc"]), room, "({} left out)", "row") == text


def test_nothing_fits_behind_what_did_not():
    assert fitting(["aaa", "bbbbb", "c"], 4, "({} left out)", "row") == "aaa(2 rows left out)"


def test_no_tag_is_within_code() -> None:
    assert code("<details") == escaped("<details") == "&lt;details"
