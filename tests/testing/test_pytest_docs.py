"""The examples of docs/pytest.md run, and fail as the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from user_tests import UserRun, run_user_tests

PAGE = (Path(__file__).parents[2] / "docs/pytest.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> UserRun:
    """The examples, as they are and with what the page says somebody changes in them."""
    folder = tmp_path_factory.mktemp("docs")
    for source in blocks("python"):
        name = source.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(source)
    net, llama = (folder / "test_net.py").read_text(), (folder / "test_llama.py").read_text()
    (diff,) = blocks("diff")
    old, new = (line[1:] for line in diff.splitlines())
    (folder / "changed").mkdir()
    changed = net.replace(old, new).replace("test_four_blocks", "test_stray_cast")
    (folder / "changed" / "test_net.py").write_text(changed)
    default = llama.replace(", autocast_adapter_dtype=False", "").replace("test_lora_on", "test_default_on")
    (folder / "changed" / "test_llama.py").write_text(default)
    return run_user_tests(folder, "--import-mode=importlib")


def test_examples_pass_as_they_are(runs: UserRun) -> None:
    assert runs.outcomes["test_four_blocks_hold_little"].state == "passed"
    assert runs.outcomes["test_lora_on_two_layers_of_llama_7b"].state == "passed"


def test_a_stray_cast_fails_as_shown(runs: UserRun) -> None:
    outcome = runs.outcomes["test_stray_cast_hold_little"]
    (shown,) = blocks("text")
    assert outcome.state == "failure"
    # In the user's own folder the file is not in changed/.
    said = outcome.text.replace("changed/test_net.py", "test_net.py")
    assert [line.split() for line in said.splitlines()] == [line.split() for line in shown.splitlines()]


def test_adapters_in_float32_turn_the_twins_example_red(runs: UserRun) -> None:
    text = runs.outcomes["test_default_on_two_layers_of_llama_7b"].text
    assert re.search(r"float32\[8192×\d+\] +linear_input +\S+\.py:\d+ → peft/", text)
