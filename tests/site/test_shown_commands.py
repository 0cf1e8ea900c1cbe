"""Command lines that pages show and do not run: each command, and each of its options, exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from programs import ROOT

from lorafa_prof.cli.main import cli

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: In a block of code, fenced or indented, or between backticks in a sentence.
_COMMAND = re.compile(r"(?<![\w/.-])lorafa-prof ((?:[a-z]|--)[^`\n]*(?:\\\n[^`\n]*)*)")
_CODE = re.compile(r"^```.*?^```$|^ {4}lorafa-prof [^\n]*$|`[^`\n]+`", flags=re.MULTILINE | re.DOTALL)
_ENDS = {"--", "&&", "||", ";", "|", ">", "(", ")"}


def commands_of(text: str) -> list[list[str]]:
    """The words of each, up to a comment or to what a shell makes of the rest."""
    found = []
    for code in _CODE.findall(text):
        for match in _COMMAND.findall(re.sub(r"^#.*$", "", code, flags=re.MULTILINE)):
            lexer = shlex.shlex(match.replace("\\\n", " "), posix=True, punctuation_chars="&|;<>()")
            lexer.whitespace_split = True
            found.append(_first(lexer))
    return found


def _first(lexer: shlex.shlex) -> list[str]:
    words: list[str] = []
    try:
        for word in lexer:
            if word in _ENDS:
                break
            words.append(word)
    except ValueError:
        return words  # an apostrophe of a sentence; what stands before it is a command still
    return words


def wrong(words: list[str]) -> str | None:
    """What of a command does not exist; values are not looked at, pages say OUT and my.yaml."""
    context = click.Context(cli, info_name="lorafa-prof")
    name, *arguments = words
    if name.startswith("-"):
        return None if name in options(cli) else f"{name}: no option"
    command = cli.get_command(context, name)
    if command is None:
        return f"{name}: no command"
    known = options(command)
    given = [word.split("=")[0] for word in arguments if re.match(r"--?[a-z]", word)]
    unknown = [word for word in given if word not in known]
    return f"{name}: no option {', '.join(unknown)}" if unknown else None


def options(command: click.Command) -> set[str]:
    context = click.Context(command)
    return {name for each in command.get_params(context) for name in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    assert [line for words in commands_of(page.read_text()) if (line := wrong(words))] == []


def test_they_are_found_and_judged() -> None:
    text = (
        "Try `lorafa-prof fit --modle x`:\n\n    lorafa-prof run a.yaml -k x   # --no\n\n"
        "```\nlorafa-prof frobnicate && ls --all\n```\n"
    )
    found = commands_of(text)
    assert found == [["fit", "--modle", "x"], ["run", "a.yaml", "-k", "x"], ["frobnicate"]]
    assert [wrong(words) for words in found] == ["fit: no option --modle", None, "frobnicate: no command"]
    assert sum(len(commands_of(page.read_text())) for page in PAGES) > 100
