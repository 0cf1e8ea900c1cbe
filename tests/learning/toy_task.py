"""A task of a few made-up items, for models with random weights: say the first token again at the end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.learning import opening
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.work import learn_cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.task import NO_LOSS, Evaluation, Example, Split, TaskKind

ITEMS = 20
FILLING = 5


class ToyTask:
    """Texts of 4 to `seq` tokens, of which the last is the first again; or two classes of them."""

    def __init__(self, choice: TaskChoice, seq: int) -> None:
        self.name = choice.name
        self.kind: TaskKind = "classification" if choice.name == "toy-classes" else "causal-lm"
        self.metric = "accuracy"
        self.classes = 2 if self.kind == "classification" else None
        self.notes: tuple[str, ...] = ()
        self._outputs = choice.name == "toy-writing"
        self._items = {split: self._made(split, seq) for split in ("training", "validation", "test")}

    def _made(self, split: str, seq: int) -> list[Example]:
        rng = random.Random(split)
        made = []
        for _ in range(ITEMS):
            first = rng.randrange(10, 14)
            tokens = (first, *[FILLING] * rng.randrange(2, seq - 1), first)
            if self.kind == "classification":
                made.append(Example(tokens[:-1], first % 2))
            else:
                made.append(Example(tokens, (*[NO_LOSS] * (len(tokens) - 1), first)))
        return made

    def training_examples(self) -> Sequence[Example]:
        return self._items["training"]

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        was_training = model.training
        model.eval()
        items = self._items[split]
        rows, longest = len(items), max(len(item.tokens) for item in items)
        ids = torch.tensor(
            [[*item.tokens, *[0] * (longest - len(item.tokens))] for item in items], device=device
        )
        with torch.no_grad():
            output: Any = model(input_ids=ids, attention_mask=(ids != 0).long())
        if self.kind == "classification":
            logits, answers = output.logits, [item.labels for item in items]
        else:  # of the token before the last
            before = torch.tensor([len(item.tokens) - 2 for item in items], device=device)
            logits, answers = output.logits[torch.arange(rows), before], [item.tokens[-1] for item in items]
        right = (logits.argmax(-1) == torch.tensor(answers, device=device)).tolist()
        loss = float(F.cross_entropy(logits.float(), torch.tensor(answers, device=device)))
        torch.rand(1)  # training must go on as if nothing had been drawn
        model.train(was_training)
        outputs = tuple(map(str, right)) if self._outputs else ()
        return Evaluation(rows, sum(right) / rows, loss, tuple(right), outputs)


def open_toy(choice: TaskChoice, tokenizer: Any, seq: int, **options: Any) -> ToyTask:
    del tokenizer, options
    if not choice.name.startswith("toy"):
        raise UsageError(f"unknown task '{choice.name}'", about="task")
    if choice.data == "missing":
        raise UsageError(f"{choice.data}: no such file", about="task")
    return ToyTask(choice, seq)


def open_toys_only(patch: Any) -> None:
    """Let runs of this process have toys for tasks; `patch` is pytest's monkeypatch, or sets attributes."""
    patch.setattr(
        opening, "_open_task", lambda run, resolved, tokenizer: open_toy(run.task, tokenizer, run.cell.seq)
    )
    patch.setattr(opening, "_tokenizer_of", lambda resolved: None)


class ForGood:
    """Sets attributes, as pytest's monkeypatch does, and never puts them back: the process ends."""

    @staticmethod
    def setattr(owner: ModuleType, name: str, value: Any) -> None:
        setattr(owner, name, value)


def learn_toy(cell: Cell, run_json: str, out: str, at_once: int = 1) -> CellResult:
    """What a run's process does in tests."""
    open_toys_only(ForGood)
    torch.set_num_threads(1)
    return learn_cell(cell, run_json, out, at_once)


def toy_run(cell: Cell, task: str = "toy", **settings: Any) -> LearningRun:
    fields: dict[str, Any] = {
        "learning_rate": 1e-2,
        "seed": 0,
        "draw_seed": 0,
        "steps": 12,
        "epochs": None,
        "schedule": "linear",
        "warmup": 0.1,
        "weight_decay": 0.0,
        "evaluate_every": 4,
        **settings,
    }
    return LearningRun(cell=cell, task=TaskChoice(name=task), **fields)
