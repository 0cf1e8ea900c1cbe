"""Whether a stored verification says what this version writes, before anyone adds it up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from lorafa_prof.results.record import CellResult
from lorafa_prof.results.soundness import UnsoundError, check_result
from lorafa_prof.step import EVALUATION_PHASES, PHASES
from lorafa_prof.verification.comparison import of_ranks
from lorafa_prof.verification.judge import CHANGE, VerifyRecord
from lorafa_prof.verification.residuals import COUNTERS, POINTS, metrics_of, sent_residuals
from lorafa_prof.verification.summary import describe
from lorafa_prof.verification.verify_csv import PLACED_METRICS, RANKED_METRICS, SIDES, VERIFY_COLUMNS, Status

_COUNTS = (
    *(f"{side}_{metric}" for metric in RANKED_METRICS for side in (*SIDES, "rank")),
    *(f"placed_residual_{metric}" for metric in PLACED_METRICS),
    "differing_allocations",
)
_PLACE = ("phase", "point", "counter")
_SENT_CALLS = ("rank", "predicted_calls", "measured_calls")
_SENT = ("calls", "sent_bytes")
_REQUIRED = ("cell_id", "status", "message", "differing_allocations")


def check_record(record: VerifyRecord) -> None:
    """Raise an UnsoundError where a record says other than this version writes."""
    for result in (record.predicted, record.measured, record.recorded, record.placed):
        if result is not None:
            check_result(result)
            _check_memory(result.details)
            _check_ranks(result)
    _check_row(record.row)
    for residual in record.phases:
        _check_line(residual, _PLACE, SIDES, "the bytes of its phases")
    for change in record.recording:
        _check_line(change, _PLACE, CHANGE, "the bytes that recording changed")
    for sent in record.sent:
        _check_line(sent, ("phase", "collective"), (*_SENT_CALLS, *SIDES), "the bytes that its ranks send")
    for groups in (record.operations or {}).values():
        for group in groups:
            _check_group(group)


def _check_row(row: Mapping[str, Any]) -> None:
    missing = [name for name in _REQUIRED if name not in row]
    foreign = [name for name in row if name not in VERIFY_COLUMNS]
    if missing or foreign or row["status"] not in get_args(Status):
        raise UnsoundError("its row is not one of verify.csv")
    if not all(_is_count(row.get(name)) for name in _COUNTS):
        raise UnsoundError("its row has other than whole numbers where bytes and counts are")
    if not isinstance(row.get("predicted_requests"), str | None):
        raise UnsoundError("its row has other than text where the requests' digest is")


def _check_memory(details: Mapping[str, Any]) -> None:
    """That memory is there for each phase, as a residual is made of it."""
    memory = details.get("memory")
    if not memory:
        return
    try:
        if set(memory["phases"]) not in (set(PHASES), set(EVALUATION_PHASES)):
            raise KeyError(f"phases {list(memory['phases'])}")
        places = [*memory["phases"].values(), *(step["memory"] for step in memory.get("steps", ()))]
        counts = [place[point][counter] for place in places for point in POINTS for counter in COUNTERS]
        metrics_of(memory)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise UnsoundError("details.memory is not as this version writes it") from error
    if not all(map(_is_count, counts)):
        raise UnsoundError("details.memory has other than whole numbers")


def _check_ranks(result: CellResult) -> None:
    """That what was counted of each rank is there to be compared."""
    try:
        ranks = of_ranks(result)
        if not all(map(_is_count, ranks)) or any(rank < 0 for rank in ranks):
            raise KeyError("rank")
        for details in ranks.values():
            _check_memory(details)
            if not isinstance(details.get("requests"), str | None):
                raise TypeError("requests")
            sent = details["communication"]["sent"] if details.get("communication") else ()
            sent_residuals(sent, sent, 0)
            if not all(_is_count(one[name]) and one[name] is not None for one in sent for name in _SENT):
                raise TypeError("sent")
    except (LookupError, TypeError, AttributeError) as error:
        raise UnsoundError("details.ranks is not as this version writes it") from error


def _check_line(line: Mapping[str, Any], texts: Iterable[str], counts: Iterable[str], what: str) -> None:
    """That a line of numbers has these texts and whole numbers; its rank it may lack."""
    numbers = [line.get(name) for name in counts]
    said = all(isinstance(line.get(name), str) for name in texts)
    if not said or None in numbers or not all(map(_is_count, [*numbers, line.get("rank")])):
        raise UnsoundError(f"{what} are not as this version writes them")


def _check_group(group: Mapping[str, Any]) -> None:
    try:
        describe(group)
    except (LookupError, TypeError) as error:
        raise UnsoundError("its differing operations are not as this version writes them") from error


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)
