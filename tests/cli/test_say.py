from __future__ import annotations

import re
from pathlib import Path

import pytest

import lorafa_prof.cli
from lorafa_prof.cli import say

FILES = sorted(Path(lorafa_prof.cli.__file__).parent.glob("*.py"))


def test_what_is_said_steers_no_terminal(capsys):
    say.say("a\x1b[31mb\u202ec\nd\x9b")
    say.put("e\x1b]0;title\x07")
    assert capsys.readouterr() == ("e ]0;title \n", "a [31mbc\nd \n")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_commands_say_it_in_no_other_way(file):
    """`first_word` has only words of its own; tables on a terminal are rich's."""
    if file.stem not in ("say", "first_word"):
        assert not re.findall(r"click\.s?echo\(|(?<![.\"\w])print\(", file.read_text())
