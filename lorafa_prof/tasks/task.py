"""What a learning run needs of a task: items to train on, and an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from lorafa_prof.tasks.choice import TaskKind as TaskKind

Split = Literal["validation", "test"]
#: What a label is where no loss is taken, as transformers has it.
NO_LOSS = -100


@dataclass(frozen=True)
class Example:
    """An item to train on.

    Attributes:
        tokens: of a text; empty for an image.
        labels: of causal language models one for each token, unshifted, `NO_LOSS` where no loss is taken; of
            classification the class.
        pixels: of an image [channels, height, width]; None for a text.
    """

    tokens: tuple[int, ...]
    labels: tuple[int, ...] | int
    pixels: Tensor | None = None


@dataclass(frozen=True)
class Evaluation:
    """How well a model does a split of a task.

    Attributes:
        items: how many were evaluated.
        metric: what `Task.metric` names, from 0 to 1, a correlation from -1; None where the task has none, as
            answers for a judge.
        loss: mean loss of the answers' tokens (or of the classes), in nats; None: not formed.
        correct: of each item whether it was right, in the data's order; empty where there is no such thing.
        outputs: what was written for each item, where something was: for a file beside the table.
    """

    items: int
    metric: float | None
    loss: float | None
    correct: tuple[bool, ...] = ()
    outputs: tuple[str, ...] = ()


class Tokenizer(Protocol):
    """What tasks use of a tokenizer: transformers' own have it, and so has `tasks/byte_tokenizer.py`."""

    @property
    def eos_token_id(self) -> int | None:
        """Ends a text."""

    @property
    def pad_token_id(self) -> int | None:
        """Fills up a batch."""

    def __call__(self, text: str | list[str], **options: Any) -> Any:
        """Return a mapping whose ``input_ids`` are the text's tokens, or a list of those of each text."""

    def decode(self, token_ids: Sequence[int], **options: Any) -> str:
        """Return the text of tokens."""


class Task(Protocol):
    """A task whose data is there. It is opened by `tasks/open.py`.

    Attributes:
        name: as in `TaskChoice`.
        kind: which head the model needs.
        metric: "accuracy", "exact_match", "pass@1", ...; what a run is judged by; empty: by the loss alone.
        classes: of classification how many; None otherwise.
        notes: what the reader of a run's row must know, such as how many items were cut.
    """

    name: str
    kind: TaskKind
    metric: str
    classes: int | None
    notes: tuple[str, ...]

    def training_examples(self) -> Sequence[Example]:
        """Return the items to train on, none longer than the run's `seq`, without those held out."""

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Evaluate `model`, which is left in the mode it was in, without gradients, `batch` items at a time.

        Raises:
            UsageError: the data has no such split, or the model cannot be asked so.
        """
