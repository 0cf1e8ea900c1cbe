from __future__ import annotations

import re

from histories import HELD, PEAK, history

from lorafa_prof.report.history_page import history_page


def test_a_line_for_each_value_those_that_moved_first():
    told = history(
        {("still", PEAK): 1, ("a", HELD): 1024}, {("still", PEAK): 1, ("a", HELD): 2048}, {("a", HELD): 2048}
    )
    page = history_page(told)
    rows = re.findall(r"<tr( class=still)?><td>(\w+)</td><td>(\w+)</td>", page)
    assert rows[:2] == [("", "a", HELD), (" class=still", "still", PEAK)]
    assert "1 of 2 values moved" in page
    assert 'd="M4.0 32.0H110.0V4.0H216.0V4.0"' in page
    assert "<title>c2: 2.000 KiB</title>" in page
    assert page.index("c3 Change 3") < page.index("c2 Change 2")


def test_a_line_is_broken_where_there_is_no_value():
    page = history_page(history({("a", HELD): 1}, {}, {("a", HELD): 1}))
    assert 'd="M4.0 18.0M216.0 18.0"' in page


def test_names_of_others_are_text_and_nothing_comes_from_outside():
    page = history_page(history({("<script>alert(1)</script>", HELD): 1}, notes=("\x1b[31m&",)))
    assert "<script" not in page
    assert "\x1b" not in page
    assert not re.search(r"(?:src|href)=", page)
    assert "default-src 'none'" in page
