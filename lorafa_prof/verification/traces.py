"""The allocation streams that a cell's processes give beside their results, in values for JSON.

They are a ``stream`` and a ``plain`` step, or under ``ranks`` those of each rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lorafa_prof.instruments.allocations.stream import PlainAllocation, Stream, from_json
from lorafa_prof.results.record import CellResult
from lorafa_prof.verification.operations import Trace

Data = dict[str, Any]
Traces = dict[int | None, Trace]
"""By rank; None of a cell on one GPU."""
_STREAMS = ("stream", "plain")
T = TypeVar("T")


def taken(result: CellResult) -> tuple[CellResult, Data]:
    """Return the result without its streams, which are as large as a run, and these; empty if it has none."""
    data, rest = _parted(result.details)
    if ranks := rest.get("ranks"):
        parted = {str(rank["rank"]): _parted(rank) for rank in ranks}
        rest["ranks"] = [of_rank for _, of_rank in parted.values()]
        data = {"ranks": {rank: streams for rank, (streams, _) in parted.items()}} if data else {}
    return result.model_copy(update={"details": rest}), data


def traces_of(data: Mapping[str, Any]) -> Traces:
    """Return the traces in what a recording process gave."""
    return _of_each(data, trace_of)


def streams_of(data: Mapping[str, Any]) -> dict[int | None, Stream]:
    """Return the streams in what a predicting process gave, by rank as in `Traces`."""
    return _of_each(data, lambda streams: from_json(streams["stream"]))


def trace_of(data: Mapping[str, Any]) -> Trace:
    """Return the trace in a ``stream`` and a ``plain`` step."""
    return Trace(from_json(data["stream"]), [PlainAllocation(*fields) for fields in data["plain"]])


def _parted(details: Mapping[str, Any]) -> tuple[Data, Data]:
    streams = {name: details[name] for name in _STREAMS if name in details}
    return streams, {name: value for name, value in details.items() if name not in streams}


def _of_each(data: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T]) -> dict[int | None, T]:
    if "ranks" not in data:
        return {None: read(data)}
    return {int(rank): read(of_rank) for rank, of_rank in data["ranks"].items()}
