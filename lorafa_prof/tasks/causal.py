"""What tasks of causal language models share: a prompt, and the answer that is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.entry import Opening
from lorafa_prof.tasks.items import Items, fitting_examples
from lorafa_prof.tasks.likelihoods import log_likelihoods
from lorafa_prof.tasks.task import NO_LOSS, Example, Split, TaskKind
from lorafa_prof.tasks.tokens import Request, encode_answers, encode_prompts, ended, needed, padding
from lorafa_prof.words.phrases import count


@dataclass(frozen=True)
class Asked:
    """An item of a task of prompts.

    Attributes:
        prompt: what the model is given.
        answer: what it should go on with, with the white space in front; empty: nobody says.
    """

    prompt: str
    answer: str


A = TypeVar("A", bound=Asked)


class CausalTask(Generic[A]):
    """A task of prompts and answers.

    Prompt and answer are encoded apart and then joined, so that training, likelihood and writing agree on
    where the answer begins.

    Args:
        opening: what it is opened with.
        items: which there are.
        metric: its name; empty: none.
    """

    kind: TaskKind = "causal-lm"
    classes: int | None = None

    def __init__(self, opening: Opening, items: Items[A], metric: str) -> None:
        self.name = opening.choice.name
        self.metric = metric
        self.tokenizer = needed(opening.tokenizer, self.name)
        self.seq = opening.seq
        self.items = items
        self.notes: tuple[str, ...] = items.notes
        self._examples = self._encode_training(opening) if items.to_train is not None else []
        splits: tuple[tuple[Split, Sequence[A] | None], ...] = (
            ("validation", items.validation),
            ("test", items.test),
        )
        self._requests = {split: self._encode_requests(split, of) for split, of in splits if of is not None}

    def choices(self, item: A) -> Sequence[str]:
        """Return the texts beside the answer whose likelihood is asked for; none unless a task has some."""
        return ()

    def training_examples(self) -> Sequence[Example]:
        """Return prompt, answer and end of text, with a loss on the latter two, in the order of their draw.

        Raises:
            UsageError: the data has nothing to train on.
        """
        self.items.drawn()
        return self._examples

    def likelihoods(
        self, model: nn.Module, split: Split, *, batch: int, device: torch.device
    ) -> tuple[list[list[float]], float | None]:
        """Return how likely each item's answer and choices are, and the mean loss of the answers' tokens.

        The likelihoods are in nats; of an item without an answer, or with one longer than `seq`, there are
        none. The loss counts the ends of the answers too, as training does; None: no item has an answer.

        Raises:
            UsageError: the data has no such split.
        """
        self.items.of(split)
        requests = self._requests[split]
        asked = [request for request in requests if request is not None]
        found = log_likelihoods(model, asked, batch=batch, device=device, fill=padding(self.tokenizer))
        tokens = sum(len(request.continuations[0]) for request in asked)
        loss = -sum(values[0] for values in found) / tokens if tokens else None
        following = iter(found)
        return [[] if request is None else next(following) for request in requests], loss

    def _note(self, number: int, which: str, what: str) -> None:
        if number:
            self.notes = (*self.notes, f"{count(number, f'{which} item')} {what}")

    def _encode_training(self, opening: Opening) -> list[Example]:
        drawn = self.items.drawn()
        examples, left_out = fitting_examples(drawn, opening.choice.train_items, self._encode)
        self._note(left_out, "training", f"longer than {self.seq} tokens left out")
        if not examples:
            raise UsageError(
                f"task '{self.name}': none of {len(drawn)} training items fits into seq {self.seq}; raise it",
                about="seq",
            )
        return examples

    def _encode(self, items: Sequence[A]) -> list[Example | None]:
        prompts = encode_prompts(self.tokenizer, [item.prompt for item in items])
        answers = encode_answers(self.tokenizer, [item.answer for item in items])
        found: list[Example | None] = []
        for prompt, answer in zip(prompts, answers, strict=True):
            tokens = ended(self.tokenizer, answer)
            labels = ((NO_LOSS,) * len(prompt)) + tokens
            fits = len(labels) <= self.seq
            found.append(Example(prompt + tokens, labels) if fits else None)
        return found

    def _encode_requests(self, split: Split, items: Sequence[A]) -> list[Request | None]:
        """What is asked of each item: its answer first, then its choices; None where that is not possible."""
        prompts = encode_prompts(self.tokenizer, [item.prompt for item in items])
        answers = encode_answers(self.tokenizer, [item.answer for item in items])
        choices = iter(
            encode_answers(self.tokenizer, [text for item in items for text in self.choices(item)])
        )
        found: list[Request | None] = []
        cut = too_long = 0
        for item, prompt, answer in zip(items, prompts, answers, strict=True):
            of_item = [next(choices) for _ in self.choices(item)]
            whole = Request(prompt, (ended(self.tokenizer, answer), *of_item)) if item.answer else None
            request = whole.cut(self.seq) if whole else None
            too_long += whole is not None and request is None
            cut += request is not None and len(request.context) < len(prompt)
            found.append(request)
        self._note(cut, split, f"longer than {self.seq} tokens cut at the front")
        self._note(too_long, split, f"with an answer longer than {self.seq} tokens left out of the loss")
        return found
