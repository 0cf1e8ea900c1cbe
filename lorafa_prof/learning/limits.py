"""Which cells can be trained on a task, and what to set where one cannot."""

from __future__ import annotations

from collections.abc import Iterator

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import METHODS
from lorafa_prof.running.launch import GRAPH


def check_trainable(cell: Cell) -> None:
    """Check that a cell can be trained on real data.

    Raises:
        UsageError: it cannot; the line says why, and what to set instead.
    """
    for about, reason in _reasons(cell):
        raise UsageError(f"learn: {reason}", about=about)


def _reasons(cell: Cell) -> Iterator[tuple[str, str]]:
    """Yield what is in the way, each with the setting that it is about."""
    if cell.is_predicted:
        yield (
            "device",
            "a twin has shapes and no numbers; train on a GPU or the CPU: set device to cuda or cpu",
        )
    if cell.parallel != "none":
        yield "parallel", f"a run trains on one GPU, and parallel is {cell.parallel}; set parallel to none"
    if cell.is_evaluation:
        yield "phase", "an evaluation trains nothing; set phase to train"
    if cell.lengths:
        yield "seq", "the lengths of batches are those of the task's items; set seq to the most tokens of one"
    if cell.padding:
        yield "padding", "padding is what the task's items leave of the longest in a batch; leave padding out"
    if cell.launch == GRAPH:
        yield (
            "launch",
            "a captured step has one shape of batches, and the task's have many; set launch to eager",
        )
    if cell.method.name == "frozen":
        yield "method", f"method '{METHODS['frozen'].name}' trains nothing; leave it out"
