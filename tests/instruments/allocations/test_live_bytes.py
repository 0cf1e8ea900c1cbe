from __future__ import annotations

from dataclasses import replace

import numpy as np
from timelines import made_up, tiny_timeline

from lorafa_prof.instruments.allocations.live_bytes import BYTES_COLUMNS, live_bytes, thinned
from lorafa_prof.instruments.allocations.segment_log import SegmentEvent


def test_a_row_per_event_after_one_of_what_was_there() -> None:
    timeline = made_up(
        [("forward", "weights", 1024), ("forward", "temporaries", 512), ("backward", "temporaries", -512)]
    )
    table = live_bytes(timeline)
    assert table["event"].tolist() == [0, 1, 2, 3]
    assert table["action"].tolist() == ["start", "alloc", "alloc", "free"]
    assert table["phase"].tolist() == ["forward", "forward", "forward", "backward"]
    assert table["weights_bytes"].tolist() == [0, 1024, 1024, 1024]
    assert table["temporaries_bytes"].tolist() == [0, 0, 512, 0]
    assert table["allocated_bytes"].tolist() == [0, 1024, 1536, 1024]
    assert table["requested_bytes"].tolist() == [0, 1023, 1534, 1023]


def test_reserved_bytes_are_those_after_the_event() -> None:
    timeline = made_up([("forward", "weights", 512)] * 3)
    place = timeline.events[0].place
    segments = (
        SegmentEvent("segment_alloc", 0, 4096, 0, place),
        SegmentEvent("segment_free", 0, 4096, 2, place),
        SegmentEvent("segment_map", 8192, 2048, 2, place),
    )
    table = live_bytes(replace(timeline, segment_events=segments))
    assert table["reserved_bytes"].tolist() == [0, 4096, 4096, 2048]


def test_kinds_add_up() -> None:
    table = live_bytes(tiny_timeline())
    assert (table[list(BYTES_COLUMNS)].sum(axis=1) == table["allocated_bytes"]).all()
    assert (table["requested_bytes"] <= table["allocated_bytes"]).all()
    assert (table["allocated_bytes"] <= table["reserved_bytes"]).all()
    assert (table[list(BYTES_COLUMNS)] >= 0).all().all()


def peaks(values: list[int]) -> set[int]:
    inside = range(1, len(values) - 1)
    return {i for i in inside if values[i - 1] < values[i] and values[i] >= values[i + 1]}


def test_thinning_keeps_every_local_peak_and_the_ends_of_phases() -> None:
    table = live_bytes(tiny_timeline("full-ft"))
    short = thinned(table, at_most=len(table) // 2)
    assert len(short) == len(table) // 2
    assert peaks(table["allocated_bytes"].tolist()) <= set(short.index)
    phases = table["phase"]
    starts = set(np.flatnonzero(phases != phases.shift()))
    assert starts | {start - 1 for start in starts if start} | {len(table) - 1} <= set(short.index)
    assert (short == table.loc[short.index]).all().all()


def test_peaks_are_kept_where_there_are_too_many_too() -> None:
    table = live_bytes(tiny_timeline("full-ft"))
    short = thinned(table, at_most=10)
    assert peaks(table["allocated_bytes"].tolist()) <= set(short.index)
    assert len(short) < len(table) / 2


def test_a_short_table_stays_whole() -> None:
    table = live_bytes(tiny_timeline())
    assert thinned(table) is table
