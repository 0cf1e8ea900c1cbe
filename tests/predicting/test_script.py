from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lorafa_prof.errors import UsageError
from lorafa_prof.predicting.script import Script, script_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("import sys, beside\nbeside.seen = (__name__, sys.argv)\n")
    Path("beside.py").write_text("seen = None\n")


@pytest.mark.parametrize("python", [["python"], ["python3"], ["python", "-u"], [sys.executable], []])
def test_a_file(python: list[str]) -> None:
    assert script_of([*python, "train.py", "--lr", "1"]) == Script("train.py", False, ("--lr", "1"))


def test_a_module() -> None:
    assert script_of(["python", "-m", "train", "-x"]) == Script("train", True, ("-x",))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], "name the script after --"),
        (["python"], "predict runs"),
        (["python", "-c", "pass"], "predict runs"),
        (["python", "-m"], "name a module"),
        (["python", "-m", "no_such_module"], "no such module"),
        (["python", "nowhere.py"], "no such script"),
        (["/usr/bin/python3.99", "train.py"], "is not the Python"),
    ],
)
def test_what_is_no_script(command: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        script_of(command)


@pytest.mark.parametrize("script", [Script("train.py", False, ("-a",)), Script("train", True, ("-a",))])
def test_it_runs_as_python_would(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    argv, path = sys.argv, sys.path[:]
    script.run()
    name, given = sys.modules.pop("beside").seen
    assert name == "__main__"
    assert given[1:] == ["-a"]
    assert (sys.argv, sys.path) == (argv, path)
