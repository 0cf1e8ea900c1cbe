"""GSM8K: the answers' loss, and the number that a model comes to by writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_data import as_lines, gsm8k_rows
from small_models import BYTES, CPU, greedily_written, log_likelihood, small_model

from lorafa_prof.errors import UsageError
from lorafa_prof.models.kernels import use_kernels
from lorafa_prof.tasks.catalogue import gsm8k
from lorafa_prof.tasks.catalogue.gsm8k import result_of
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.open import open_task


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(gsm8k, "_MOST_TOKENS", 12)
    as_lines(tmp_path / "gsm8k-train.jsonl.gz", gsm8k_rows(8))
    as_lines(tmp_path / "gsm8k-test.jsonl.gz", gsm8k_rows(5))
    return open_task(TaskChoice(name="gsm8k", data=str(tmp_path)), BYTES, 128)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("6 * 3 = 18\n#### 18", "18"),
        ("#### -1,234.5", "-1234.5"),
        ("It is\n#### 18.\nQuestion: more", "18"),
        ("#### 7\n\n#### 8", "7"),
        ("it is 18", None),
        ("#### about 18", None),
    ],
)
def test_the_number_is_what_follows_the_first_mark(written: str, number: str | None) -> None:
    assert result_of(written) == number


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_what_is_written_in_batches_is_what_is_written_one_by_one(task: Any, batch: int) -> None:
    model = small_model()
    evaluation = task.evaluate(model, "test", batch=batch, device=CPU)
    loss = tokens = 0.0
    for row, output in zip(gsm8k_rows(5), evaluation.outputs, strict=True):
        prompt = list(f"Question: {row['question']}\nAnswer:".encode())
        assert output == BYTES.decode(greedily_written(model, prompt, 12, BYTES.eos_token_id))
        answer = [*f" {row['answer']}".encode(), BYTES.eos_token_id]
        loss -= log_likelihood(model, prompt, answer)
        tokens += len(answer)
    assert evaluation.loss == pytest.approx(loss / tokens, rel=1e-5)
    assert evaluation.correct == (False,) * 5
    assert evaluation.metric == 0.0


@pytest.mark.parametrize("kernels", ["packed", "fused"])
def test_kernels_that_fuse_the_loss_write_the_same(task: Any, kernels: str) -> None:
    model = small_model()
    expected = task.evaluate(model, "test", batch=2, device=CPU).outputs
    use_kernels(kernels, model)
    assert task.evaluate(model, "test", batch=2, device=CPU).outputs == expected


def test_a_right_number_is_an_exact_match(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {row["question"]: row["answer"] for row in gsm8k_rows(5)}

    def told(model: Any, tokenizer: Any, prompts: list[str], *_: Any, **__: Any) -> list[str]:
        right = [answers[prompt.removeprefix("Question: ").removesuffix("\nAnswer:")] for prompt in prompts]
        return [right[0], "#### 1000", "no number", right[3].replace("<<", ""), right[4]]

    monkeypatch.setattr(gsm8k, "written", told)
    evaluation = task.evaluate(small_model(), "test", batch=2, device=CPU)
    assert evaluation.correct == (True, False, False, True, True)
    assert evaluation.metric == 0.6


def test_the_models_own_settings_of_writing_change_nothing(task: Any) -> None:
    model = small_model()
    expected = task.evaluate(model, "test", batch=2, device=CPU).outputs
    model.generation_config.do_sample = True
    model.generation_config.temperature = 5.0
    model.generation_config.repetition_penalty = 4.0
    assert task.evaluate(model, "test", batch=2, device=CPU).outputs == expected


def test_a_prompt_that_the_model_cannot_see_is_one_line(task: Any) -> None:
    model = small_model(max_position_embeddings=20)
    with pytest.raises(
        UsageError, match=r"the model sees 20 tokens, and a prompt has 3[0-9]: no room for an answer"
    ):
        task.evaluate(model, "test", batch=2, device=CPU)


def test_an_answer_without_a_result_is_named(tmp_path: Path) -> None:
    file = as_lines(tmp_path / "gsm8k-test.jsonl", [{"question": "1 and 1?", "answer": "two"}])
    with pytest.raises(UsageError, match="item 1: 'answer' does not end with its result"):
        open_task(TaskChoice(name="gsm8k", data=str(file)), BYTES, 128)
