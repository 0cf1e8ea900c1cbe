"""Commands without a scenario's file: every axis is an option."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from lorafa_prof.cli.axes import AxisOption
from lorafa_prof.cli.main import cli, main
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.schema import AXES

TINY = ("--model", "tiny-llama", "--method", "lora,lora-fa", "--batch", "1", "--seq", "32", "--gpu", "t4")
WITH_AXES = ("run", "check", "fit", "explain", "timeline", "flops")
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, told.out, told.err

    return run


@pytest.mark.parametrize("name", WITH_AXES)
def test_every_axis_of_the_schema_is_an_option_that_says_what_it_is(name: str) -> None:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    options = [param for param in found.get_params(click.Context(found)) if isinstance(param, AxisOption)]
    assert {"model", "method", "gpu", "rank", "targets", *AXES} <= {option.axis for option in options}
    assert all(option.help and option.help[0] != " " for option in options)


def test_run_lists_the_cells_of_axes(command: Command) -> None:
    code, out, _ = command("run", *TINY, "--rank", "2,4", "--rank", "8", "--dry-run", "--save", "s.yaml")
    assert code == 0
    assert len(out.splitlines()) == 2 + 6
    scenario = load_scenario(Path("s.yaml")).scenario
    assert (scenario.name, scenario.device, scenario.batch) == ("tiny-llama", ["sim:t4"], [1])
    code, again, _ = command("run", "s.yaml", "--dry-run")
    assert (code, again) == (0, out)
    assert command("run", *TINY, "--rank", "2,4", "--rank", "8", "--dry-run", "--save", "s.yaml")[0] == 0


def test_axes_stand_before_a_file_and_set_before_axes(command: Command) -> None:
    command("run", *TINY, "--dry-run", "--save", "s.yaml")
    _, out, _ = command("run", "s.yaml", "--batch", "3", "--rank", "4", "--set", "seq=16", "--dry-run")
    assert [line.split()[2:] for line in out.splitlines()[2:]] == [
        ["tiny-llama", "lora", "r4", "b3", "s16"],
        ["tiny-llama", "lora-fa", "r4", "b3", "s16"],
    ]


def test_options_that_only_some_method_has_are_taken_too(command: Command) -> None:
    given = ("--method", "lora-fa", "--correction", "false,each", "--dry-run")
    code, out, _ = command("run", "--model", "tiny-llama", "--gpu", "t4", *given)
    assert code == 0
    assert {line.split()[-1] for line in out.splitlines()[2:]} == {"correction=False", "s1024"}


def test_explain_tells_the_second_of_two_cells_against_the_first(command: Command) -> None:
    code, out, _ = command("explain", *TINY, "--jobs", "1", "--json", "e.json")
    assert code == 0
    assert "A  tiny-llama lora-fa r8 b1 s32" in out
    assert "B  tiny-llama lora r8 b1 s32" in out
    assert len(json.loads(Path("e.json").read_text())["cells"]) == 2


def test_check_judges_whether_it_fits_or_what_is_expected(command: Command) -> None:
    code, out, _ = command("check", *TINY)
    assert code == 0
    assert "it fits" in out
    code, out, _ = command(
        "check", *TINY, "--at-most", "activation_bytes=1KiB", "--at-least", "weights_bytes=1"
    )
    assert code == 3
    assert "activation_bytes at most 1KiB" in out
    assert "weights_bytes at least 1" in out


def test_timeline_writes_the_files_of_axes(command: Command) -> None:
    code, out, _ = command("timeline", *TINY, "-k", "lora-fa", "-o", "out")
    assert code == 0
    assert out.count(".pickle") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["explain"], "--model is missing, or a SCENARIO; `lorafa-prof list models` and"),
        (["check", "--batch", "2"], "--model is missing, or a SCENARIO"),
        (
            ["explain", ".", "--batch", "2"],
            ".: results are explained as they are: without --set, --device and",
        ),
        (
            ["check", ".", "--save", "s.yaml"],
            ".: results are judged as they are: without --set, --device, -o",
        ),
        (["run", "quickstart", "--save", "s.yaml"], "--save s.yaml: quickstart is a file already"),
        (
            ["check", "claims/own-steps", "--at-most", "fits=1"],
            "--at-most and --at-least are of axes without",
        ),
        (["check", *TINY, "--at-most", "24GiB"], "--at-most 24GiB: write METRIC=AMOUNT"),
        (
            ["check", *TINY, "--at-most", "peak=1"],
            "--at-most peak=1: claims[0].metric: unknown metric 'peak'",
        ),
        (["run", *TINY, "--bach", "3"], "No such option '--bach'"),
        (
            ["run", *TINY, "--batch", "x"],
            "--batch 1 --batch x: batch[1]: it should be a whole number, not 'x'",
        ),
        (["run", *TINY, "--max-cells", "1"], "lorafa-prof run: its axes make 2 cells, 1 are the most"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_option(
    arguments: list[str], line: str, command: Command
) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
