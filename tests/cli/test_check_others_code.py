"""A method of others that misbehaves while cells are planned: one line, exit code 2, and never a pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lorafa_prof.cli.main import main
from lorafa_prof.methods.base import METHODS

MODULE = """
import os, sys
from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import Method, MethodOptions
class Untellable(Exception):
    def __str__(self): raise ValueError("no text")
class Options(MethodOptions):
    how: str
def prepare(model, options, setting):
    exec(options.how)
METHOD = Method("mine", "mine", Options, prepare, default_adapter_dtype=None)
"""
SCENARIO = """
schema: 1
name: mine
model: tiny-llama
method: {{name: mine, how: '{how}'}}
batch: 1
seq: 8
claims: [{{name: impossible, metric: activation_bytes, at_most: 1}}]
"""
ENDINGS = [
    "sys.exit(0)",
    "os._exit(0)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise BaseException",
]
BREAKS = ["raise Untellable", "raise RuntimeError", "assert False", "raise MemoryError"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a distribution that has the method, and the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("somebodys.py").write_text(MODULE)
    info = Path("somebodys-1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lorafa_prof.methods]\nmine = somebodys:METHOD\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "somebodys", raising=False)
    monkeypatch.setattr(METHODS, "_entries", None)
    return tmp_path


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("command", "how"),
    [
        *(("check", how) for how in (*ENDINGS, *BREAKS, 'raise UsageError("two\\nlines")')),
        *((command, how) for command in ("run", "explain", "timeline") for how in (ENDINGS[0], BREAKS[0])),
    ],
)
def test_one_line_that_names_the_method(installed, capsys, command, how):
    Path("s.yaml").write_text(SCENARIO.format(how=how))
    assert called(command, "s.yaml", "--device", "sim:h100-80gb") == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("lorafa-prof: s.yaml:")
    if how in ENDINGS:
        assert "the method 'mine' tried to end the program: " in line
    if how in BREAKS:
        assert "tiny-llama mine b1 s8 cannot be built: " in line


@pytest.mark.parametrize("how", ["sys.exit(0)", "os._exit(0)"])
def test_a_distribution_that_ends_the_program_when_it_is_loaded(installed, capsys, how):
    Path("s.yaml").write_text(SCENARIO.format(how=""))
    Path("somebodys.py").write_text(f"import os, sys\n{how}\n")
    assert called("check", "s.yaml") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the method 'mine' of somebodys cannot be loaded (EndedByOthersError: " in line


def test_an_entry_point_that_is_no_method(installed, capsys):
    Path("s.yaml").write_text(SCENARIO.format(how=""))
    Path("somebodys.py").write_text("METHOD = 3\n")
    assert called("check", "s.yaml") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the entry point 'mine' (somebodys:METHOD) is no method: AttributeError: " in line


def test_options_that_end_the_program(installed, capsys):
    Path("s.yaml").write_text(SCENARIO.format(how=""))
    checking = "    how: str\n    def model_post_init(self, context): raise KeyError('odd')\n"
    Path("somebodys.py").write_text(MODULE.replace("    how: str\n", checking))
    assert called("check", "s.yaml") == 2
    assert "the options of mine fail: KeyError: 'odd'" in capsys.readouterr().err


def test_code_that_ships_with_a_model_ends_nothing_either(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(
        '{"auto_map": {"AutoConfig": "odd.Odd"}, "model_type": "odd"}'
    )
    (tmp_path / "m" / "odd.py").write_text("import sys\nsys.exit(0)\n")
    scenario = (
        "schema: 1\nname: x\nmodel: {name: ./m, trust_remote_code: true}\nmethod: lora\nbatch: 1\nseq: 8\n"
    )
    (tmp_path / "s.yaml").write_text(scenario + "claims: [{name: a, metric: fits, equals: 1}]\n")
    command = [sys.executable, "-m", "lorafa_prof", "check", "s.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "its code tried to end the program: SystemExit: 0" in done.stderr.splitlines()[-1]
