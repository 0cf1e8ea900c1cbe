"""The catalogue of tasks, as it is listed and asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from lorafa_prof.cli.list import list_command
from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.byte_tokenizer import ByteTokenizer
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.entry import TASKS
from lorafa_prof.tasks.open import open_task

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def test_each_task_is_listed() -> None:
    shown = CliRunner().invoke(list_command, ["tasks"])
    assert shown.exit_code == 0
    for name, entry in TASKS.items():
        line = next(line for line in shown.output.splitlines() if line.split()[0] == name)
        assert (entry.metric or "none") in line
        assert entry.data in line


def test_the_page_has_each_task() -> None:
    told = set(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE))))
    assert told == set(TASKS)


def test_an_unknown_task_is_one_line() -> None:
    with pytest.raises(
        UsageError, match=r"unknown task 'bolq' .did you mean 'boolq'.*`lorafa-prof list tasks`"
    ):
        open_task(TaskChoice(name="bolq"), ByteTokenizer(256), 10)


def test_a_model_of_another_kind_is_refused() -> None:
    said = "task 'boolq' is for models of causal-lm, not of classification; `lorafa-prof list tasks`"
    with pytest.raises(UsageError, match=said):
        open_task(TaskChoice(name="boolq", kind="classification"), ByteTokenizer(256), 10)


def test_a_task_of_texts_needs_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "boolq-test.json").write_text(
        '[{"question": "do ants run", "answer": true}]', encoding="utf-8"
    )
    with pytest.raises(UsageError, match="task 'boolq' is of texts, and the model has no tokenizer"):
        open_task(TaskChoice(name="boolq", data=str(tmp_path)), None, 10)
