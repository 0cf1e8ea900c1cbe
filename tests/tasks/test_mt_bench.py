"""MT-Bench: two turns are answered in turn, and written down as FastChat's judges read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_data import as_lines
from small_models import BYTES, CPU, small_model

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.catalogue import mt_bench
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.open import open_task

QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["Write of ants.", "Again."]},
    {"question_id": 82, "category": "writing", "turns": ["Write of bees."]},
]


def test_the_second_turn_follows_the_first_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def told(model: Any, tokenizer: Any, prompts: list[str], *_: Any, **__: Any) -> list[str]:
        asked.append(prompts)
        return [f" answer {len(asked)}.{place}\n" for place in range(len(prompts))]

    monkeypatch.setattr(mt_bench, "written", told)
    as_lines(tmp_path / "question.jsonl", QUESTIONS)
    task = open_task(TaskChoice(name="mt-bench", data=str(tmp_path)), BYTES, 64)
    evaluation = task.evaluate(small_model(), "test", batch=2, device=CPU)
    assert asked == [
        ["Write of ants.\n\n", "Write of bees.\n\n"],
        ["Write of ants.\n\nanswer 1.0\n\nAgain.\n\n"],
    ]
    assert (task.metric, evaluation.metric, evaluation.loss, evaluation.items) == ("", None, None, 2)
    assert [json.loads(line) for line in evaluation.outputs] == [
        {"question_id": 81, "choices": [{"index": 0, "turns": ["answer 1.0", "answer 2.0"]}]},
        {"question_id": 82, "choices": [{"index": 0, "turns": ["answer 1.1"]}]},
    ]


def test_a_model_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mt_bench, "_MOST_TOKENS", 6)
    file = as_lines(tmp_path / "mt-bench-questions.jsonl.gz", QUESTIONS)
    task = open_task(TaskChoice(name="mt-bench", data=str(file)), BYTES, 64)
    evaluation = task.evaluate(small_model(), "test", batch=2, device=CPU)
    assert len(evaluation.outputs) == 2
    with pytest.raises(UsageError, match="has nothing to train on"):
        task.training_examples()


def test_a_question_without_a_number_is_named(tmp_path: Path) -> None:
    file = as_lines(tmp_path / "question.jsonl", [{"turns": ["Write."]}])
    with pytest.raises(UsageError, match="item 1: 'question_id' is None, not a number"):
        open_task(TaskChoice(name="mt-bench", data=str(file)), BYTES, 64)
