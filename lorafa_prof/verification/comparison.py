"""What is compared of a cell: counters, and what ranks send; each rank with the twin of one like it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from lorafa_prof.results.record import CellResult
from lorafa_prof.verification.residuals import (
    SENT,
    PhaseResidual,
    Residual,
    SentResidual,
    is_exact,
    metric_residuals,
    phase_residuals,
    sent_residuals,
)
from lorafa_prof.words.numbers import signed
from lorafa_prof.words.phrases import first_of

_MOST_NAMED = 2
Details = Mapping[str, Any]
T = TypeVar("T")


class WorstRank(NamedTuple):
    """The residual of the rank whose is largest, and which that is; None of a cell on one GPU."""

    residual: Residual
    rank: int | None


class Comparison(NamedTuple):
    """Both sides of a cell; all is empty where one of them has no memory by phase.

    Attributes:
        phases: every counter at every point, of one rank after the other.
        sent: bytes by phase and collective, likewise; empty where a side did not count them.
        metrics: headline metrics by name; of several ranks each metric's worst.
    """

    phases: list[PhaseResidual]
    sent: list[SentResidual]
    metrics: dict[str, WorstRank]

    @property
    def is_exact(self) -> bool:
        """Whether every number in which the twin is to be exact is right to the byte, on all ranks."""
        return is_exact(self.phases) and not any(each.differs for each in self.sent)


def compared(predicted: CellResult, measured: CellResult) -> Comparison:
    """Compare what was predicted with what was measured, or any two results of a cell."""
    phases: list[PhaseResidual] = []
    sent: list[SentResidual] = []
    worst: dict[str, WorstRank] = {}
    for rank, ours, theirs in _pairs(predicted, measured):
        memories = ours.get("memory"), theirs.get("memory")
        if not all(memories):
            return Comparison([], [], {})
        phases += phase_residuals(*memories, rank)  # type: ignore[arg-type]
        of_rank = metric_residuals(*memories)  # type: ignore[arg-type]
        if counted := _sent(ours, theirs, rank):
            sent += counted
            of_rank[SENT] = Residual(
                sum(each.sent_bytes.predicted for each in counted),
                sum(each.sent_bytes.measured for each in counted),
            )
        for name, residual in of_rank.items():
            if name not in worst or abs(residual.residual) > abs(worst[name].residual.residual):
                worst[name] = WorstRank(residual, rank)
    return Comparison(phases, sent, worst)


def of_ranks(result: CellResult) -> dict[int, Details]:
    """Return what is known of each rank of a result, by its number; of a cell on one GPU of rank 0."""
    if result.cell.parallel == "none":
        return {0: result.details}
    return {each["rank"]: each for each in result.details.get("ranks", ())}


def alike(predicted: Mapping[int, T], rank: int) -> T:
    """Return what was predicted of a rank; those between two that were predicted are alike the first."""
    return predicted[max(number for number in predicted if number <= rank)]


def sent_otherwise(sent: Iterable[Mapping[str, Any]]) -> str:
    """Say where ranks send other than was predicted, by a record's `sent`; "" if nowhere."""
    texts = [
        f"rank {one['rank']} {one['phase']} {one['collective']} {signed(one['residual'])} bytes "
        f"({one['predicted_calls']} calls, {one['measured_calls']} on the GPU)"
        for one in sent
        if one["residual"] or one["predicted_calls"] != one["measured_calls"]
    ]
    return f"sent otherwise: {first_of(texts, _MOST_NAMED)}" if texts else ""


def _pairs(predicted: CellResult, measured: CellResult) -> Iterable[tuple[int | None, Details, Details]]:
    ours, theirs = of_ranks(predicted), of_ranks(measured)
    if measured.cell.parallel == "none":
        return [(None, ours[0], theirs[0])]
    if 0 not in ours or len(theirs) < measured.cell.gpus:  # one of them failed
        return []
    return [(rank, alike(ours, rank), details) for rank, details in theirs.items()]


def _sent(predicted: Details, measured: Details, rank: int | None) -> list[SentResidual]:
    ours, theirs = (side.get("communication") for side in (predicted, measured))
    if rank is None or not ours or not theirs:
        return []
    return sent_residuals(ours["sent"], theirs["sent"], rank)
