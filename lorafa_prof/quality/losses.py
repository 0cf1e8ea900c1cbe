"""The loss of each step of a learning run, and those of its evaluations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.errors import UsageError
from lorafa_prof.quality.run import EvaluationRow, LearningRun
from lorafa_prof.results.csv_lines import named_values, parsed, read_lines

_KINDS = {"step": "Int64", "loss": "Float64", "tokens": "Int64", "seconds": "Float64"}


@dataclass(frozen=True)
class Loss:
    """A loss in nats, and when it was: after so many steps, tokens and seconds of training."""

    step: float
    tokens: float
    seconds: float
    loss: float


def training_losses(run: LearningRun) -> list[Loss]:
    """Return the loss of each step that has one, or where none was kept the means between evaluations.

    Raises:
        UsageError: the file of losses cannot be read.
    """
    path = run.losses_csv
    if not path.is_file():
        return _of_rows([(row, row.train_loss) for row in run.evaluations if row.split != "test"])
    lines = read_lines(path, "a table of losses")
    header = lines[0].values if lines else []
    if sorted(header) != sorted(_KINDS):
        raise UsageError(f"{path}: its columns should be {', '.join(_KINDS)}")
    losses = []
    for line in lines[1:]:
        texts = named_values(header, line, path)
        values = {name: parsed(texts[name], kind, name, path, line.number) for name, kind in _KINDS.items()}
        numbers = {name: float(value) for name, value in values.items() if value is not None}
        if numbers.keys() == _KINDS.keys():
            losses.append(Loss(**numbers))
    return losses


def validation_losses(run: LearningRun) -> list[Loss]:
    """Return the loss of each evaluation on the validation split."""
    return _of_rows([(row, row.eval_loss) for row in run.evaluations if row.split == "validation"])


def _of_rows(rows: Sequence[tuple[EvaluationRow, float | None]]) -> list[Loss]:
    return [
        Loss(row.step, row.tokens, row.seconds, loss)
        for row, loss in rows
        if loss is not None and row.step is not None and row.tokens is not None and row.seconds is not None
    ]


def in_bins(losses: Sequence[Loss], bins: int) -> list[Loss]:
    """Return means over at most so many stretches of as many losses, each where its last one was."""
    edges = sorted({round(index * len(losses) / bins) for index in range(bins + 1)})
    found = []
    for first, end in itertools.pairwise(edges):
        stretch, last = losses[first:end], losses[end - 1]
        mean = sum(each.loss for each in stretch) / len(stretch)
        found.append(Loss(last.step, last.tokens, last.seconds, mean))
    return found
