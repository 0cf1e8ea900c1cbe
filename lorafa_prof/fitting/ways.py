"""What would make a step fit that does not: few strong changes, by themselves and together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from lorafa_prof.cell import Cell, MethodChoice
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.fitting.answer import Answer, Change, Predict, Way
from lorafa_prof.methods.base import METHODS
from lorafa_prof.scenario.options import validated_options

#: So many ways are enough to choose from.
_ENOUGH = 2
#: Of the sequence that was asked for; what is shorter still is another question.
_SHORTER = 0.5

_NF4 = Change("quantization", "nf4", "nf4")
_CHECKPOINTS = Change("checkpointing", "full", "full checkpointing")
_CHUNKS = Change("loss", "chunked", "chunked loss")
_LORA = Change("method", "lora", "lora")
_ONE = Change("batch", 1, "batch 1")


def ways_to_fit(answer: Answer, predict: Predict, pool: Executor) -> tuple[Way, ...]:
    """The ways in which a step fits that does not as asked, with no change that it does not need.

    Smaller batches and shorter sequences are those of the answer. More changes together are tried only where
    fewer give too little to choose from, and none where not even all of them help.
    """
    cell, capacity = answer.fit.asked.cell, answer.fit.asked.capacity_bytes
    changes = _changes(cell, batch_is_known=answer.batch.value is not None)

    def fits(way: Way) -> bool | None:
        try:
            return predict(changed(cell, way), capacity).memory is not None
        except LorafaProfError:  # these do not go together, or not with what else the cell has
            return None

    alone = dict(zip(changes, pool.map(fits, [(change,) for change in changes]), strict=True))
    possible = tuple(change for change, does in alone.items() if does is not None)
    found: list[Way] = [*_known(answer), *((change,) for change, does in alone.items() if does)]
    for number in range(2, len(possible) + 1):
        if len(found) >= _ENOUGH or (found and number > 2) or not (found or fits(possible)):
            break
        tried = [way for way in itertools.combinations(possible, number) if _is_new(way, found)]
        found += [way for way, does in zip(tried, pool.map(fits, tried), strict=True) if does]
    return tuple(found)


def changed(cell: Cell, way: Way) -> Cell:
    """The cell with the changes; an adapter that comes with them has its method's defaults."""
    settings: dict[str, Any] = {change.key: change.value for change in way}
    if "method" in settings:
        method = METHODS[settings["method"]]
        settings["method"] = MethodChoice(name=method.name, options=validated_options(method, {}))
        if method.default_adapter_dtype is not None:
            settings["adapter_dtype"] = method.default_adapter_dtype(cell.dtype)
    return cell.model_copy(update=settings)


def _known(answer: Answer) -> Iterator[Way]:
    """Those that the answer has: a smaller batch, shorter sequences, more GPUs."""
    if answer.batch.value is not None:
        yield (Change("batch", answer.batch.value, f"batch {answer.batch.value}"),)
    if answer.seq.value is not None and answer.seq.value >= _SHORTER * answer.fit.asked.cell.seq:
        yield (Change("seq", answer.seq.value, f"sequences of {answer.seq.value} tokens"),)
    if answer.gpus is not None and answer.gpus.value is not None:
        yield (Change("gpus", answer.gpus.value, f"{answer.gpus.value} GPUs"),)


def _changes(cell: Cell, *, batch_is_known: bool) -> Way:
    """The changes that may help, the last ones those that a person gives up first."""
    trains = not cell.is_evaluation
    adapted = METHODS[cell.method.name].default_adapter_dtype is not None
    offered: Sequence[tuple[bool, Change]] = (
        (not batch_is_known and cell.batch > 1, _ONE),
        (trains and cell.checkpointing == "none", _CHECKPOINTS),
        (cell.loss == "full" and cell.kernels in ("eager", "fused-norm"), _CHUNKS),
        (adapted and cell.quantization == "none", _NF4),
        (cell.method.name == "full-ft", _LORA),
    )
    return tuple(change for makes_sense, change in offered if makes_sense)


def _is_new(way: Way, found: Sequence[Way]) -> bool:
    """Whether no part of it is enough."""
    return not any(set(other) <= set(way) for other in found)
