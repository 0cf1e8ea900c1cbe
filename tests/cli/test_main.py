from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lorafa_prof.cli import main as module
from lorafa_prof.cli.main import COMMANDS, cli, main
from lorafa_prof.errors import LorafaProfError, NothingToJudgeError, ScenarioError, UsageError

HEAVY = ("torch", "transformers", "pandas", "matplotlib", "peft", "pydantic", "yaml", "rich")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lorafa_prof", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], *([c, "--help"] for c in COMMANDS)])
def test_help_and_version_load_nothing_heavy(arguments):
    code = (
        "import sys; from lorafa_prof.cli.main import main\n"
        f"try: main({arguments!r})\n"
        f"finally: print(sorted(set({HEAVY!r}) & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert "lorafa-prof" in done.stdout


def test_help_names_every_command():
    shown = run("--help").stdout
    assert [line.split()[0] for line in shown.split("Commands:")[1].splitlines() if line.strip()] == list(
        COMMANDS
    )


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("wrong option"), 2, "lorafa-prof: wrong option"),
        (ScenarioError("wrong", file="s.yaml", line=3, key="rank"), 2, "lorafa-prof: s.yaml:3: rank: wrong"),
        (NothingToJudgeError("no rows"), 4, "lorafa-prof: no rows"),
        (LorafaProfError("failed"), 1, "lorafa-prof: failed"),
        (UsageError("two\nlines"), 2, "lorafa-prof: two lines"),
        (KeyboardInterrupt(), 130, "lorafa-prof: interrupted"),
        (SystemExit(0), 1, "lorafa-prof: ended before it was done, by SystemExit: 0"),
        (GeneratorExit(), 1, "lorafa-prof: ended before it was done, by GeneratorExit"),
    ],
)
def test_errors_are_one_line_on_stderr_and_the_exit_code_of_the_contract(
    error, code, line, monkeypatch, capsys
):
    def raises() -> None:
        raise error

    monkeypatch.setattr(cli, "get_command", lambda context, name: click.Command("fails", callback=raises))
    with pytest.raises(SystemExit) as ended:
        main(["fails"])
    assert ended.value.code == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.strip() == line


@pytest.mark.parametrize("returned", [None, 0, 1, 3])
def test_what_a_command_returns_is_the_exit_code(returned, monkeypatch):
    command = click.Command("done", callback=lambda: returned)
    monkeypatch.setattr(cli, "get_command", lambda context, name: command)
    with pytest.raises(SystemExit) as ended:
        main(["done"])
    assert ended.value.code == (returned or 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument 'SCENARIO'"),
        (["run", "x", "--rerun", "some"], "'some' is not one of 'missing', 'failed', 'all'"),
        (["run", "x", "--timeout", "0"], "not in the range"),
        (["run", "x", "--nope"], "--nope"),
        (["list", "modls"], "'modls' is not one of"),
    ],
)
def test_wrong_usage_is_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err


def test_a_bug_is_not_dressed_up_as_the_users_mistake(monkeypatch):
    def bug() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "get_command", lambda context, name: click.Command("bug", callback=bug))
    with pytest.raises(ZeroDivisionError):
        main(["bug"])


def test_a_reader_that_has_enough_is_no_error():
    lister = subprocess.Popen(
        [sys.executable, "-m", "lorafa_prof", "list", "metrics"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert lister.stdout is not None
    lister.stdout.close()  # as `| head` does
    assert lister.stderr is not None
    assert "Traceback" not in lister.stderr.read()
    lister.wait()


def test_every_command_is_where_main_looks_for_it():
    for name, (place, attribute) in module.COMMANDS.items():
        folder, _, file = place.rpartition(".")
        assert (Path(module.__file__).parent / f"{file}.py").is_file(), (name, folder, attribute)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.name == name
