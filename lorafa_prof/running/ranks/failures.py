"""Which rank is to blame where one or several did not come to their end, and what is said of it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.results.columns import Status
from lorafa_prof.running.deaths import death
from lorafa_prof.running.ranks.progress import Place
from lorafa_prof.running.ranks.report import Failed, Report
from lorafa_prof.words.phrases import first_of

#: The first kind that a rank failed by is the cause; ranks that lost another, or waited for it, come last.
_CAUSES: tuple[Failed | str, ...] = ("oom", "died", "error", "timeout", "lost")
_MOST_NAMED = 3
_STATUS: dict[str, Status] = {"oom": "oom", "timeout": "timeout"}


@dataclass(frozen=True)
class Ended:
    """How a rank ended.

    Attributes:
        report: what it left behind.
        code: its exit code, negative for a signal; None: it ran until it was ended.
        place: where it was last.
    """

    rank: int
    report: Report | None
    code: int | None
    place: Place

    @property
    def kind(self) -> Failed | str:
        """Why it failed: as in its report, "died" without one; "" for one that did not fail by itself."""
        if self.report is not None and self.report.failure is not None:
            return self.report.failure.kind
        died = self.code is not None and not (self.report and self.report.is_complete)
        if died and self.code == -signal.SIGABRT and self.report is None:
            return "timeout"  # NCCL's watchdog ends a process that waits too long
        return "died" if died else ""


@dataclass(frozen=True)
class Cause:
    """What became of the cell.

    Attributes:
        rank: that failed first.
        phase: in which.
        message: says both, and why.
    """

    rank: int
    status: Status
    phase: str
    message: str


def cause_of(ranks: Sequence[Ended]) -> Cause:
    """Return what ended the ranks, at least one of which failed."""
    failed = [rank for rank in ranks if rank.kind]
    first = min(failed, key=lambda rank: (_CAUSES.index(rank.kind), _time(rank)))
    place = first.report.failure.place if first.report and first.report.failure else first.place
    who = f"rank {first.rank} of {len(ranks)} in {place}"
    return Cause(
        first.rank,
        _STATUS.get(first.kind, "error"),
        place.phase,
        f"{who}: {_why(first)}{_others(first, ranks)}",
    )


def _time(rank: Ended) -> float:
    return rank.report.at if rank.report else 0.0


def _why(rank: Ended) -> str:
    if rank.report is not None and rank.report.failure is not None:
        return rank.report.failure.message
    if rank.kind == "timeout":
        return "ended by NCCL's watchdog: it waited too long for another rank"
    assert rank.code is not None
    return f"its process died: {death(rank.code)}"


def _others(first: Ended, ranks: Sequence[Ended]) -> str:
    """Where a rank waited, whoever is elsewhere did not come."""
    if first.kind not in ("timeout", "lost"):
        return ""
    elsewhere = [f"rank {rank.rank} was in {rank.place}" for rank in ranks if rank.rank != first.rank]
    return f"; {first_of(elsewhere, _MOST_NAMED)}" if elsewhere else ""
