"""MT-Bench: answers to questions of two turns, written down for a judge; it has no metric of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from torch import nn

from lorafa_prof.tasks.asking import asked
from lorafa_prof.tasks.causal import Asked, CausalTask
from lorafa_prof.tasks.entry import Opening, TaskEntry
from lorafa_prof.tasks.items import choose_items
from lorafa_prof.tasks.rows.parts import read_parts
from lorafa_prof.tasks.rows.row import Row, RowError, texts
from lorafa_prof.tasks.rows.source import Source
from lorafa_prof.tasks.task import Evaluation, Split
from lorafa_prof.tasks.writing import Writing, written

_MOST_TOKENS = 1024
#: Between turns and answers, as between instructions and outputs.
_BETWEEN = "\n\n"
_SOURCE = Source(
    ("mtbench", "mtbenchquestions", "question"),
    "HuggingFaceH4/mt_bench_prompts",
    train="",
    test="train",
    test_is_whole=True,
)


@dataclass(frozen=True)
class _Turns(Asked):
    question_id: int
    turns: tuple[str, ...]


def _parse(row: Row) -> _Turns:
    number = row.get("question_id", row.get("prompt_id"))
    if not isinstance(number, int):
        raise RowError(f"'question_id' is {number!r}, not a number")
    turns = texts(row, "turns" if "turns" in row else "prompt")
    return _Turns(turns[0], "", number, tuple(turns))


class MtBench(CausalTask[_Turns]):
    """The task: `outputs` are lines of FastChat's model_answer files, which its judges read."""

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Let `model` answer, the most likely token each time: see `Task.evaluate`. There is no metric.

        Raises:
            UsageError: the data has no such split, or the model writes no text.
        """
        items = self.items.of(split)
        talks = ["" for _ in items]
        answers: list[list[str]] = [[] for _ in items]
        with asked(model):
            for turn in range(max(len(item.turns) for item in items)):
                places = [place for place, item in enumerate(items) if turn < len(item.turns)]
                prompts = [talks[place] + items[place].turns[turn] + _BETWEEN for place in places]
                found = written(
                    model, self.tokenizer, prompts, Writing(_MOST_TOKENS), batch=batch, device=device
                )
                for place, prompt, text in zip(places, prompts, found, strict=True):
                    answers[place].append(text.strip())
                    talks[place] = prompt + text.strip() + _BETWEEN
        lines = [
            json.dumps({"question_id": item.question_id, "choices": [{"index": 0, "turns": turns}]})
            for item, turns in zip(items, answers, strict=True)
        ]
        return Evaluation(len(items), metric=None, loss=None, outputs=tuple(lines))


def _open(opening: Opening) -> MtBench:
    return MtBench(opening, choose_items(opening.choice, read_parts(opening.choice, [_SOURCE]), _parse), "")


TASKS = TaskEntry(
    "mt-bench", "", ("causal-lm",), "hub HuggingFaceH4/mt_bench_prompts, or FastChat's question.jsonl", _open
)
