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
        lengths: what the logarithm of each one's likelihood is divided by before they are compared.
    """

    choices: tuple[str, ...]
    right: int
    lengths: tuple[int, ...]


def question(prompt: str, choices: Sequence[str], right: int, lengths: Sequence[int] = ()) -> Question:
    """Return a question whose answer is one of its choices; without lengths nothing is divided."""
    return Question(prompt, choices[right], tuple(choices), right, tuple(lengths) or (1,) * len(choices))


class ChoiceTask(CausalTask[Question]):
    """A task whose item is right where the right choice is the most likely one.

    The likelihood of a choice is the product over its tokens; its logarithm is divided by its length as the
    question has it: 1 is lm-eval's `acc`, its characters are `acc_norm`. Of two as likely it is the first.
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
        predicted = [_likeliest(each[1:], item.lengths) for each, item in zip(found, items, strict=True)]
        right = [item.right for item in items]
        return Evaluation(
            items=len(items),
            metric=MEASURES[self.metric](right, predicted),
            loss=loss,
            correct=tuple(a == b for a, b in zip(right, predicted, strict=True)),
            outputs=tuple(item.choices[place].strip() for item, place in zip(items, predicted, strict=True)),
        )


def _likeliest(likelihoods: Sequence[float], lengths: Sequence[int]) -> int:
    return max(range(len(lengths)), key=lambda place: likelihoods[place] / lengths[place])
