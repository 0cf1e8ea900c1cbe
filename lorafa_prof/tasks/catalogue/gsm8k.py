"""GSM8K: word problems, trained on worked answers, judged by the number that the model comes to."""

from __future__ import annotations

import re

import torch
from torch import nn

from lorafa_prof.tasks.asking import asked
from lorafa_prof.tasks.causal import Asked, CausalTask
from lorafa_prof.tasks.entry import Opening, TaskEntry
from lorafa_prof.tasks.items import choose_items
from lorafa_prof.tasks.rows.parts import read_parts
from lorafa_prof.tasks.rows.row import Row, RowError, text
from lorafa_prof.tasks.rows.source import Source
from lorafa_prof.tasks.task import Evaluation, Split
from lorafa_prof.tasks.writing import Writing, written

#: As lm-eval's strict match has it.
_RESULT = re.compile(r"#### (-?[0-9.,]+)")
#: The longest of its worked answers has 454 tokens of SmolLM2's tokenizer.
_MOST_TOKENS = 512
_SOURCE = Source(("gsm8k",), "openai/gsm8k", "main")


def _parse(row: Row) -> Asked:
    answer = text(row, "answer")
    if result_of(answer) is None:
        raise RowError("'answer' does not end with its result, such as '#### 18'")
    return Asked(f"Question: {text(row, 'question')}\nAnswer:", f" {answer}")


def result_of(answer: str) -> str | None:
    """Return the number after the first ``####``, without commas and a full stop after it; None: none."""
    found = _RESULT.search(answer)
    return found[1].replace(",", "").rstrip(".") if found else None


class Gsm8k(CausalTask[Asked]):
    """The task: `exact_match` is the share of items with the right number after ``####``."""

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Evaluate `model`: see `Task.evaluate`. It writes the most likely token each time.

        Raises:
            UsageError: the data has no such split, or the model writes no text.
        """
        items = self.items.of(split)
        prompts = [item.prompt for item in items]
        with asked(model):
            _, loss = self.likelihoods(model, split, batch=batch, device=device)
            outputs = written(
                model, self.tokenizer, prompts, Writing(_MOST_TOKENS), batch=batch, device=device
            )
        pairs = zip(items, outputs, strict=True)
        correct = tuple(result_of(output) == result_of(item.answer) for item, output in pairs)
        return Evaluation(len(items), sum(correct) / len(items), loss, correct, tuple(outputs))


def _open(opening: Opening) -> Gsm8k:
    return Gsm8k(
        opening, choose_items(opening.choice, read_parts(opening.choice, [_SOURCE]), _parse), "exact_match"
    )


TASKS = TaskEntry("gsm8k", "exact_match", ("causal-lm",), "hub openai/gsm8k, or its jsonl files", _open)
