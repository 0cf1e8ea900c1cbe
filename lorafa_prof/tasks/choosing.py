"""Tasks whose answer is one of a few texts, chosen by their likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.asking import asked
from lorafa_prof.tasks.causal import Asked, CausalTask
from lorafa_prof.tasks.measures import MEASURES
from lorafa_prof.tasks.task import Evaluation, Split


@dataclass(frozen=True)
class Question(Asked):
    """A prompt with a few texts that may follow it.

    Attributes:
        choices: those texts.
        right: which of them is the answer.
    """

    choices: tuple[str, ...]
    right: int


def question(prompt: str, choices: Sequence[str], right: int) -> Question:
    """Return a question whose answer is one of its choices."""
    return Question(prompt, choices[right], tuple(choices), right)


class ChoiceTask(CausalTask[Question]):
    """A task whose item is right where the right choice is the most likely one.

    The likelihood of a choice is the product over its tokens, divided by nothing: lm-eval's `acc`. Of two
    that are as likely it is the first.
    """

    def choices(self, item: Question) -> Sequence[str]:
        """Return the item's choices."""
        return item.choices

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Evaluate `model`: see `Task.evaluate`.

        Raises:
            UsageError: the data has no such split, or a choice is longer than `seq`.
        """
        items = self.items.of(split)
        with asked(model):
            found, loss = self.likelihoods(model, split, batch=batch, device=device)
        if not all(found):
            raise UsageError(
                f"task '{self.name}': answers longer than seq {self.seq} cannot be chosen from; raise it",
                about="seq",
            )
        predicted = [max(range(len(each) - 1), key=each[1:].__getitem__) for each in found]
        right = [item.right for item in items]
        return Evaluation(
            items=len(items),
            metric=MEASURES[self.metric](right, predicted),
            loss=loss,
            correct=tuple(a == b for a, b in zip(right, predicted, strict=True)),
            outputs=tuple(item.choices[place].strip() for item, place in zip(items, predicted, strict=True)),
        )
