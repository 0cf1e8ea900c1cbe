"""A table of live bytes by kind, at every allocation and free of a timeline's steady step."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame

from lorafa_prof.instruments.allocations.log import AllocationEvent
from lorafa_prof.instruments.allocations.timeline import Timeline
from lorafa_prof.parts import BLOCK_KINDS

ABOUT_MOST_ROWS = 5000
"""Rows of a thinned table, where there are fewer local peaks than that."""


def column_of(kind: str) -> str:
    """Return the name of the column that has the bytes of `kind`."""
    return f"{kind}_bytes"


BYTES_COLUMNS = tuple(column_of(kind) for kind in BLOCK_KINDS)


def live_bytes(timeline: Timeline) -> DataFrame:
    """Return a table with a row for each event of the steady step, after a row 0 for the state before it.

    Columns: ``event`` (0, 1, …), ``phase``, ``module``, ``operation``, ``action`` ("start", "alloc" or
    "free"), the bytes of the live blocks of each kind (``weights_bytes``, …), their sum ``allocated_bytes``,
    ``requested_bytes`` (the sum before rounding to blocks) and ``reserved_bytes``, and ``line`` of the user's
    own code, empty where there is none.

    Raises:
        ValueError: the timeline has no steady step.
    """
    if timeline.steady is None:
        raise ValueError("memory ran out before the steady step")
    start, end = timeline.steady
    by_kind = np.zeros((end + 1, len(BLOCK_KINDS)), dtype=np.int64)
    requested = np.zeros(end + 1, dtype=np.int64)
    for row, event in enumerate(timeline.events[:end], start=1):
        sign = 1 if event.kind == "alloc" else -1
        by_kind[row, BLOCK_KINDS.index(timeline.kinds[event.allocation])] = sign * event.block_bytes
        requested[row] = sign * event.requested_bytes
    live = by_kind.cumsum(axis=0)[start:]
    return DataFrame(
        {
            "event": np.arange(end - start + 1),
            **_places(timeline.events[start:end], timeline.steady_spans[0].phase),
            **{name: live[:, index] for index, name in enumerate(BYTES_COLUMNS)},
            "allocated_bytes": live.sum(axis=1),
            "requested_bytes": requested.cumsum()[start:],
            "reserved_bytes": _reserved(timeline, end)[start:],
            "line": ["", *(event.place.line for event in timeline.events[start:end])],
        }
    )


def _places(events: tuple[AllocationEvent, ...], first_phase: str) -> dict[str, list[str]]:
    return {
        "phase": [first_phase, *(event.place.phase for event in events)],
        "module": ["", *(event.place.module for event in events)],
        "operation": ["", *(event.place.operation for event in events)],
        "action": ["start", *(event.kind for event in events)],
    }


def _reserved(timeline: Timeline, end: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the reserved bytes after each of the first `end` events.

    What a request takes from the device is counted after that request.
    """
    change = np.zeros(end + 1, dtype=np.int64)
    for event in timeline.segment_events:
        if event.before < end:
            taken = event.action in ("segment_alloc", "segment_map")
            change[event.before + 1] += event.size_bytes if taken else -event.size_bytes
    return np.asarray(change.cumsum())


def thinned(table: DataFrame, at_most: int = ABOUT_MOST_ROWS) -> DataFrame:
    """Return about `at_most` rows of `live_bytes`, with every local peak of the allocated bytes among them.

    The first and last row of each phase stay too; what room is left goes to others, evenly spaced. Where
    there are more peaks than `at_most`, these and nothing else are kept.
    """
    if len(table) <= at_most:
        return table
    allocated = table["allocated_bytes"].to_numpy()
    keep = _local_peaks(allocated) | _edges(table["phase"].to_numpy(dtype=str))
    others = np.flatnonzero(~keep)
    room = at_most - int(keep.sum())
    if room > 0:
        keep[others[np.linspace(0, len(others) - 1, room).astype(int)]] = True
    return table[keep]


def _local_peaks(
    values: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return where a value is above the one before it and not below the one after it."""
    rises = np.diff(values, prepend=values[0]) > 0
    falls = np.diff(values, append=values[-1]) <= 0
    return np.asarray(rises & falls)


def _edges(phases: np.ndarray[tuple[int], np.dtype[np.str_]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    edges = np.zeros(len(phases), dtype=np.bool_)
    edges[[0, -1]] = True
    changes = np.flatnonzero(phases[1:] != phases[:-1])
    edges[changes] = edges[changes + 1] = True
    return edges
