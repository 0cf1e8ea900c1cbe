from __future__ import annotations

from rich.text import Text

from lorafa_prof.words.terminal import ENDLESS, rendered

PARTS = [Text("one two ", style="bold"), Text(), Text("x" * 300)]


def test_without_colours_it_is_plain_text_of_one_line_each():
    assert rendered(PARTS, ENDLESS, coloured=False) == f"one two\n\n{'x' * 300}\n"


def test_with_colours_and_a_width_it_is_wrapped():
    lines = rendered(PARTS, 100, coloured=True).splitlines()
    assert lines == ["\x1b[1mone two \x1b[0m", "", *["x" * 100] * 3]
