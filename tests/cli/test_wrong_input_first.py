"""Wrong input is answered before what takes seconds to import: a word of the file needs no PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = "schema: 1\nname: x\nmodel: {model}\nmethod: [{method}]\n"
#: Runs a command in a process of its own, and prints its exit code and what of these was imported for it.
SCRIPT = """
import sys
from lorafa_prof.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    heavy = ("torch", "transformers.modeling_utils", "pandas", "matplotlib")
    print(error.code, *(name for name in heavy if name in sys.modules))
"""


def imported_by(arguments: list[str], folder: Path) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    code, *names = ended.stdout.splitlines()[-1].split()
    assert code != "0", ended.stdout + ended.stderr
    return names


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "nothing.yaml"],
        ["run", "broken.yaml"],
        ["run", "good.yaml", "--set", "batch=x"],
        ["run", "good.yaml", "-o", ""],
        ["check", "nothing.yaml"],
        ["check", "good.yaml", "broken.yaml"],
        ["explain", "broken.yaml"],
        ["timeline", "broken.yaml"],
        ["verify", "broken.yaml"],
        ["list", "method"],
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_read_needs_no_pytorch(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "good.yaml").write_text(SCENARIO.format(model="gpt2", method="lora"))
    (tmp_path / "broken.yaml").write_text("schema: 1\nname: [\n")

    assert imported_by(arguments, tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "method.yaml"],
        ["run", "model.yaml"],
        ["run", "good.yaml", "--device", "sim:h10"],
        ["run", "good.yaml", "-k", "("],
        ["check", "good.yaml"],
        ["explain", "method.yaml"],
        ["timeline", "model.yaml"],
        ["fit", "--model", "gpt2", "--gpu", "h10"],
        ["compare", "nothing", "nowhere"],
    ],
    ids=" ".join,
)
def test_a_name_that_there_is_not_needs_no_model(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "good.yaml").write_text(SCENARIO.format(model="gpt2", method="lora"))
    (tmp_path / "method.yaml").write_text(SCENARIO.format(model="gpt2", method="lor"))
    (tmp_path / "model.yaml").write_text(SCENARIO.format(model="~nouser/x", method="lora"))

    assert "transformers.modeling_utils" not in imported_by(arguments, tmp_path)
