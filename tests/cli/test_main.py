from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from lorafa_prof.cli import main as module
from lorafa_prof.cli.main import COMMANDS, cli, main
from lorafa_prof.errors import LorafaProfError, NothingToJudgeError, ScenarioError, UsageError

CLAIMS = Path(__file__).parents[2] / "scenarios/claims/own-steps.yaml"
HEAVY = ("torch", "transformers", "pandas", "matplotlib", "peft", "yaml", "rich")
#: They show the axes of the scenario's schema.
WITH_AXES = ("run", "check", "fit", "explain", "timeline", "flops")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lorafa_prof", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], *([c, "--help"] for c in COMMANDS)])
def test_help_and_version_load_nothing_heavy(arguments):
    heavy = HEAVY if arguments[0] in WITH_AXES else (*HEAVY, "pydantic")
    code = (
        "import sys; from lorafa_prof.cli.main import main\n"
        f"try: main({arguments!r})\n"
        f"finally: print(sorted(set({heavy!r}) & sys.modules.keys()), file=sys.stderr)"
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
        (["rnu"], "there is no command 'rnu' (did you mean 'run'?)"),
        (["run"], "--model is missing, or a SCENARIO"),
        (["run", "x", "--rerun", "some"], "there is no 'some'; it takes missing, failed, all"),
        (["run", "x", "--timeout", "0"], "not in the range"),
        (["run", "x", "--nope"], "--nope"),
        (["list", "modls"], "there is no 'modls' (did you mean 'models'?); it takes models, methods"),
    ],
)
def test_wrong_usage_is_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err


class _TwoLinesError(Exception):
    def __str__(self) -> str:
        return "first\nsecond"


def _deep() -> None:
    _deep()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ZeroDivisionError("by\tzero\nand more"),
            "this is a fault of lorafa-prof: ZeroDivisionError: by zero",
        ),
        (AssertionError(), "this is a fault of lorafa-prof: AssertionError: AssertionError"),
        (_TwoLinesError(), "this is a fault of lorafa-prof: _TwoLinesError: first"),
        (RecursionError("too deep"), "this is a fault of lorafa-prof: RecursionError: too deep"),
        (MemoryError(), "too little memory for this: MemoryError: MemoryError"),
        (OSError(28, "No space left"), "this is a fault of lorafa-prof: OSError: [Errno 28] No space left"),
    ],
)
def test_a_bug_is_one_line_and_not_dressed_up_as_the_users_mistake(error, line, monkeypatch, capsys):
    def bug() -> None:
        raise error

    monkeypatch.setattr(cli, "get_command", lambda context, name: click.Command("bug", callback=bug))
    monkeypatch.delenv("LORAFA_PROF_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["bug"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"lorafa-prof: {line} (LORAFA_PROF_DEBUG=1 shows where)\n"


def test_where_a_bug_is_can_be_asked(monkeypatch, capsys):
    monkeypatch.setattr(cli, "get_command", lambda context, name: click.Command("deep", callback=_deep))
    monkeypatch.setenv("LORAFA_PROF_DEBUG", "1")
    with pytest.raises(SystemExit):
        main(["deep"])
    assert "in _deep" in capsys.readouterr().err


def test_wrong_usage_is_one_line(capsys):
    with pytest.raises(SystemExit):
        main(["list", "a\nb\x1b[31m"])
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("lorafa-prof: Invalid value for ")
    assert said.endswith(" (`lorafa-prof list --help` shows what there is)")
    assert "\x1b" not in said


def test_a_nul_in_an_argument_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "quickstart", "-o", "a\0b"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "lorafa-prof: a NUL character in an argument: no name or path can have one\n"
    )


def test_every_command_is_where_main_looks_for_it():
    for name, (place, attribute) in module.COMMANDS.items():
        folder, _, file = place.rpartition(".")
        assert (Path(module.__file__).parent / f"{file}.py").is_file(), (name, folder, attribute)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize(
    "arguments",
    [["run", "quickstart", "--dry-run"], ["check", str(CLAIMS)], ["report", "none"], ["list", "methods"]],
)
def test_the_first_word_comes_before_what_takes_long(arguments, tmp_path):
    code = (
        "import sys, time; begun = time.monotonic(); from lorafa_prof.cli.main import main\n"
        "from lorafa_prof.cli import first_word\n"
        "say = first_word.print if hasattr(first_word, 'print') else print\n"
        "def spy(*words, **options):\n"
        "    if 'file' in options: say(time.monotonic() - begun, *words, **options); sys.exit(99)\n"
        "first_word.print = spy\n"
        f"main({arguments!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    seconds, *words = done.stderr.split()
    assert words[0] == "loading", done.stderr
    assert float(seconds) < 1


def test_summaries_of_commands_are_whole_sentences_each_on_a_line(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines if not line.startswith("   ")] == list(module.COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
    assert max(map(len, lines)) <= 80


def test_every_command_has_json():
    context = click.Context(cli)
    options = {name: cli.get_command(context, name).params for name in module.COMMANDS}
    forms = {
        name: [each.metavar for each in has if "--json" in each.opts]
        for name, has in options.items()
        if name != "schema"  # what that prints is JSON
    }
    assert {name: form for name, form in forms.items() if form != ["[FILE]"]} == {}
