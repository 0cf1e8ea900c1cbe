"""Tasks of a classification head on texts, or on pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorafa_prof.tasks.asking import asked, batches_by_length, check_vocabulary, class_logits, padded
from lorafa_prof.tasks.entry import Opening
from lorafa_prof.tasks.items import Items
from lorafa_prof.tasks.measures import MEASURES
from lorafa_prof.tasks.task import Evaluation, Example, Split, TaskKind, Tokenizer
from lorafa_prof.tasks.tokens import encode, needed, padding
from lorafa_prof.words.phrases import count


@dataclass(frozen=True)
class Labelled:
    """A text of a class.

    Attributes:
        text: the text, or the first of a pair.
        pair: the second; None: there is none.
        label: its class.
    """

    text: str
    pair: str | None
    label: int


class ClassificationTask:
    """A task of classes, by a head.

    Args:
        opening: what it is opened with.
        items: which there are.
        metric: its name.
        classes: how many.
    """

    kind: TaskKind = "classification"

    def __init__(self, opening: Opening, items: Items[Labelled], metric: str, classes: int) -> None:
        self.name = opening.choice.name
        self.metric = metric
        self.classes: int | None = classes
        self._tokenizer = needed(opening.tokenizer, self.name)
        self._seq = opening.seq
        self._items = items
        self.notes: tuple[str, ...] = items.notes
        self._examples: list[Example] = []
        if items.to_train is not None:
            drawn = items.drawn()[: opening.choice.train_items]
            self._examples = self._encode("training", drawn)
        of_splits: tuple[tuple[Split, Sequence[Labelled] | None], ...] = (
            ("validation", items.validation),
            ("test", items.test),
        )
        self._evaluated = {split: self._encode(split, of) for split, of in of_splits if of is not None}

    def training_examples(self) -> Sequence[Example]:
        """Return the items to train on in the order of their draw; too long ones have lost their front.

        Raises:
            UsageError: the data has nothing to train on.
        """
        self._items.drawn()
        return self._examples

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Evaluate `model`: see `Task.evaluate`.

        Raises:
            UsageError: the data has no such split, or the model's head has not the task's classes.
        """
        self._items.of(split)
        examples = self._evaluated[split]
        check_vocabulary(model, [example.tokens for example in examples])
        order: list[int] = []
        logits: list[Tensor] = []
        with asked(model):
            for places in batches_by_length([len(example.tokens) for example in examples], batch):
                rows = [examples[place].tokens for place in places]
                tokens = padded(rows, padding(self._tokenizer)).to(device)
                mask = padded([[1] * len(row) for row in rows], 0).to(device)
                order += places
                logits.append(class_logits(model, self.classes or 0, input_ids=tokens, attention_mask=mask))
        right = [examples[place].labels for place in order]
        return judged(
            torch.cat(logits), order, [each for each in right if isinstance(each, int)], self.metric
        )

    def _encode(self, which: str, items: Sequence[Labelled]) -> list[Example]:
        texts = [item.text for item in items]
        pairs = [item.pair for item in items if item.pair is not None]
        options = {"text_pair": pairs} if pairs else {}
        encoded = encode(self._tokenizer, texts, **options)
        long = [place for place, tokens in enumerate(encoded) if len(tokens) > self._seq]
        for place in long:
            encoded[place] = _cut(self._tokenizer, encoded[place], texts[place], self._seq)
        if long:
            items_cut = count(len(long), f"{which} item")
            note = f"{items_cut} longer than {self._seq} tokens cut at the front"
            self.notes = (*self.notes, note)
        return [Example(tuple(tokens), item.label) for tokens, item in zip(encoded, items, strict=True)]


def judged(logits: Tensor, order: Sequence[int], right: Sequence[int], metric: str) -> Evaluation:
    """Return what logits [items, classes] come to; the device is waited for here and nowhere before.

    Args:
        logits: in float32.
        order: of each row the item's place in the data.
        right: of each row the right class.
        metric: of `MEASURES`.
    """
    loss = functional.cross_entropy(logits, torch.tensor(right).to(logits.device))
    *predicted, mean_loss = torch.cat([logits.argmax(dim=1).double(), loss.double()[None]]).tolist()
    by_place = sorted(zip(order, right, map(int, predicted), strict=True))
    return Evaluation(
        items=len(by_place),
        metric=MEASURES[metric]([each[1] for each in by_place], [each[2] for each in by_place]),
        loss=mean_loss,
        correct=tuple(label == found for _, label, found in by_place),
    )


def _cut(tokenizer: Tokenizer, tokens: list[int], text: str, seq: int) -> list[int]:
    """Take tokens off the front of the text, behind what the tokenizer sets before it."""
    plain = encode(tokenizer, [text], add_special_tokens=False)[0]
    before = next((start for start in range(len(tokens)) if tokens[start : start + len(plain)] == plain), 0)
    return [*tokens[:before], *tokens[before + len(tokens) - seq :]]
