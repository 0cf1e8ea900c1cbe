"""HumanEval and MBPP: what is asked, where a program ends, and pass@k of programs that are run when asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_data import as_json, as_lines
from small_models import BYTES, CPU, small_model

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks import coding
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.open import open_task

ONE = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": "\n\ndef check(candidate):\n    assert candidate(2) == 4\n    assert candidate(5) == 10\n",
}
MBPP = [
    {
        "task_id": number,
        "text": f"Write a function to add {number}.",
        "code": f"def add(x):\r\n    return x + {number}",
        "test_list": [f"assert add(1) == {number + 1}", f"assert add(0) == {number}"],
        "test_setup_code": "",
        "challenge_test_list": [],
    }
    for number in (2, 11, 12, 510, 511, 601, 602, 974)
]


def humaneval(folder: Path, problems: int = 2, **choice: Any) -> TaskChoice:
    as_lines(
        folder / "HumanEval.jsonl.gz", [{**ONE, "task_id": f"HumanEval/{each}"} for each in range(problems)]
    )
    return TaskChoice(name="humaneval", data=str(folder), **choice)


def told(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> None:
    monkeypatch.setattr(coding, "written", lambda *_, **__: texts)


def test_without_leave_programs_are_written_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "run_programs", lambda programs: pytest.fail("it was run"))
    told(monkeypatch, ["    return 2 * x\n", "    return x\n"])
    task = open_task(humaneval(tmp_path), BYTES, 250)
    evaluation = task.evaluate(small_model(), "test", batch=2, device=CPU)
    assert task.metric == ""
    assert (evaluation.metric, evaluation.correct) == (None, ())
    assert [json.loads(line) for line in evaluation.outputs] == [
        {"task_id": "HumanEval/0", "completion": "    return 2 * x\n"},
        {"task_id": "HumanEval/1", "completion": "    return x\n"},
    ]
    assert evaluation.loss is not None, "of the solutions"
    assert task.notes == ("the programs it writes are not run, so there is no metric",)


def test_with_leave_they_are_run_in_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(
        monkeypatch,
        ["    return x + x\n\nprint('more')", "    return x\n", "    import os; os.fork()\n", "    return ("],
    )
    task = open_task(humaneval(tmp_path, 4), BYTES, 250, run_generated_code=True)
    evaluation = task.evaluate(small_model(), "test", batch=2, device=CPU)
    assert task.metric == "pass@1"
    assert evaluation.correct == (True, False, False, False)
    assert evaluation.metric == 0.25
    assert [json.loads(line)["result"] for line in evaluation.outputs] == [
        "passed",
        "failed: AssertionError",
        "failed: PermissionError",
        "failed: SyntaxError",
    ]


def test_of_several_programs_one_that_passes_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, ["    return x\n", "    return 2 * x\n", "    return 3\n", "    return 4\n"])
    task = open_task(humaneval(tmp_path, samples=2), BYTES, 250, run_generated_code=True)
    evaluation = task.evaluate(small_model(), "test", batch=2, device=CPU)
    assert (task.metric, evaluation.metric, evaluation.correct) == ("pass@2", 0.5, (True, False))
    assert [json.loads(line)["passed"] for line in evaluation.outputs[0].splitlines()] == [False, True]


def test_several_programs_are_drawn_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lorafa_prof.tasks.catalogue import code

    monkeypatch.setattr(code, "_MOST_TOKENS", 8)
    task = open_task(humaneval(tmp_path, problems=1, samples=3), BYTES, 250)
    model = small_model()
    (first,) = task.evaluate(model, "test", batch=2, device=CPU).outputs
    assert len(set(first.splitlines())) == 3
    assert task.evaluate(model, "test", batch=2, device=CPU).outputs == (first,)
    other = open_task(humaneval(tmp_path, problems=1, samples=3, seed=1), BYTES, 250)
    assert other.evaluate(model, "test", batch=2, device=CPU).outputs != (first,)


@pytest.mark.parametrize("after", ["\nclass A:", "\ndef f():", "\n# so", "\nif x:", "\nprint(1)"])
def test_a_function_ends_where_something_else_begins(tmp_path: Path, after: str) -> None:
    task: Any = open_task(humaneval(tmp_path), BYTES, 250)
    assert task.items.of("test")[0].completion(f"    return 1\n{after}\nmore") == "    return 1\n"


def test_mbpps_own_file_is_told_apart_by_its_numbers(tmp_path: Path) -> None:
    as_lines(tmp_path / "mbpp.jsonl", MBPP)
    task: Any = open_task(TaskChoice(name="mbpp", data=str(tmp_path)), BYTES, 250)
    assert [item.task_id for item in task.items.of("test")] == [11, 12, 510]
    trained = [item.task_id for item in (*task.items.drawn(), *task.items.of("validation"))]
    assert sorted(trained) == [601, 602, 974]
    item = task.items.of("test")[0]
    assert item.prompt == (
        "You are an expert Python programmer, and here is your task: Write a function to add 11. "
        "Your code should pass these tests:\n\nassert add(1) == 12\nassert add(0) == 11\n[BEGIN]\n"
    )
    assert item.answer.endswith("return x + 11\n[DONE]")


def test_mbpps_programs_are_run_with_its_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_json(tmp_path / "sanitized-mbpp.json", [{**row, "prompt": row["text"]} for row in MBPP])
    told(
        monkeypatch,
        ["def add(x):\n    return x + 11\n[DONE]\nmore (", "def add(x): return x", MBPP[3]["code"]],
    )
    task = open_task(TaskChoice(name="mbpp", data=str(tmp_path)), BYTES, 250, run_generated_code=True)
    assert task.evaluate(small_model(), "test", batch=2, device=CPU).correct == (True, False, True)


def test_leave_to_run_is_refused_where_there_is_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task 'boolq' has no programs to run"):
        open_task(TaskChoice(name="boolq", data=str(tmp_path)), BYTES, 99, run_generated_code=True)
    with pytest.raises(UsageError, match="task 'boolq' has no samples"):
        open_task(TaskChoice(name="boolq", data=str(tmp_path), samples=2), BYTES, 99)


def test_without_a_sandbox_the_task_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise UsageError("no sandbox here")

    monkeypatch.setattr(coding, "check_sandbox", none)
    with pytest.raises(UsageError, match="no sandbox here"):
        open_task(humaneval(tmp_path), BYTES, 250, run_generated_code=True)
    open_task(humaneval(tmp_path), BYTES, 250)
