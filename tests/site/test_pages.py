"""README and the pages of docs/: each command line that they run prints what they show."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import ROOT, program

commands = program(".ci/pages.py")
ANEW = "`make pages` writes what the commands print now"


@pytest.mark.parametrize("page", commands.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_prints_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    for shown, printed in zip(commands.steps_of(text), commands.run_page(text, tmp_path), strict=True):
        assert commands.agree(shown.lines, printed.lines), "\n".join(
            [f"$ {shown.command}", "printed", *printed.lines, "the page shows", *shown.lines, ANEW]
        )


PAGE = """
```yaml
# two.yaml
schema: 1
```

```console
$ lorafa-prof list metrics
old
…
$ lorafa-prof run nowhere
$ echo $?
9
```

```
$ not run
```
"""


def test_a_page_is_written_anew_and_then_agrees(tmp_path: Path) -> None:
    new = commands.rewritten(PAGE, commands.run_page(PAGE, tmp_path))
    assert (tmp_path / "two.yaml").read_text() == "# two.yaml\nschema: 1\n"
    first, refused, code = commands.steps_of(new)
    assert len(first.lines) == 2
    assert first.lines[0] != "old"
    assert first.lines[1] == commands.LEFT_OUT
    assert refused.lines[0].startswith("lorafa-prof: ")
    assert code.lines == ("2",)
    assert "$ not run\n" in new
    (tmp_path / "again").mkdir()
    assert commands.rewritten(new, commands.run_page(new, tmp_path / "again")) == new


def test_stderr_is_shown_where_a_page_asks_for_it(tmp_path: Path) -> None:
    (shown,) = commands.run_page(
        "```console\n$ lorafa-prof run --model tiny-llama --method lora --gpu t4 --no-figures 2>&1\n```\n",
        tmp_path,
    )
    assert "in short" in shown.lines
    assert "# results" in shown.lines


def test_a_failure_that_the_page_does_not_tell_of_is_one(tmp_path: Path) -> None:
    with pytest.raises(commands.PageError, match="exit code 2: lorafa-prof run nowhere"):
        commands.run_page("```console\n$ lorafa-prof run nowhere\n```\n", tmp_path)


def test_a_page_runs_no_other_programs(tmp_path: Path) -> None:
    with pytest.raises(commands.PageError, match="no page runs 'rm'"):
        commands.run_page("```console\n$ rm -r x\n```\n", tmp_path)


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        (["6 cells in 24 s"], ["6 cells in 3.1 s"], True),
        (["6 cells in 24 s"], ["7 cells in 24 s"], False),
        (["9.375 GiB"], ["9.376 GiB"], False),
        (["a", "…", "d"], ["a", "b", "c", "d"], True),
        (["a", "…", "d"], ["a", "d"], True),
        (["a", "…", "d"], ["a", "b", "c"], False),
        (["a", "…", "a"], ["a"], False),
        (["a"], ["a", "b"], False),
    ],
)
def test_they_agree_but_for_times_and_what_is_left_out(
    shown: list[str], printed: list[str], alike: bool
) -> None:
    assert commands.agree(tuple(shown), tuple(printed)) is alike
