from __future__ import annotations

import json

from lorafa_prof.instruments.allocations.operation_log import LoggedOperation
from lorafa_prof.instruments.allocations.stream import (
    OUTSIDE,
    PlainAllocation,
    StreamBuilder,
    StreamOperation,
    as_json,
    from_json,
    steps_of,
)
from lorafa_prof.instruments.allocations.stream_cuda import plain_allocations, requests_in, stream_of

STREAM = [
    StreamOperation(0, "build", "", "empty", 0, (512,), (), (), (4096,)),
    StreamOperation(1, "forward", "a.b", "mm", 1, (8, 16), (1, 0), (1, 2), (8192, 12288)),
    StreamOperation(2, "forward", "a.b", "mm", 3, (), (2,), (0,), ()),
]


def built() -> list[StreamOperation]:
    builder = StreamBuilder()
    builder.operation(0, "build", "", "empty")
    assert builder.alloc(512, 4096) == 0
    builder.operation(0, "build", "", "view")
    builder.operation(1, "forward", "a.b", "mm")
    builder.alloc(8, 8192)
    builder.free(1)
    builder.alloc(16, 12288)
    builder.free(0)
    builder.operation(2, "forward", "a.b", "mm")
    builder.free(2)
    return builder.stream()


def test_a_stream_is_built_in_order_without_operations_that_do_nothing():
    assert built() == STREAM


def test_json_gives_the_stream_back_and_keeps_each_name_once():
    data = as_json(STREAM)
    assert from_json(json.loads(json.dumps(data))) == STREAM
    assert sorted(data["texts"]) == sorted(["build", "", "empty", "forward", "a.b", "mm"])


def test_steps_are_chosen():
    assert steps_of(STREAM, (0, 2)) == [STREAM[0], STREAM[2]]


def events(text: str) -> list[dict[str, object]]:
    """``+8@1``: 8 bytes at address 1; ``-@1``: freed; what else is in a trace does not count."""
    found: list[dict[str, object]] = []
    for word in text.split():
        size, address = word[1:].split("@")
        if word[0] == "+":
            found.append({"action": "segment_alloc", "addr": 0, "size": 2**21})
            found.append({"action": "alloc", "addr": int(address), "size": int(size)})
        else:
            found.append({"action": "free_requested", "addr": int(address), "size": 0})
            found.append({"action": "free_completed", "addr": int(address), "size": 0})
    return requests_in(found)


def operation(name: str, start: int, end: int) -> LoggedOperation:
    return LoggedOperation(1, "forward", "", name, start, end)


def test_events_go_to_the_operation_that_runs_or_ran_last():
    told = stream_of(
        [operation("mm", 2, 4), operation("view", 5, 5), operation("add", 5, 6)],
        events("+1@1 +2@2 +3@3 -@1 -@2 +4@1 -@3 -@1"),
    )
    assert [(one.name, one.requested_bytes, one.freed) for one in told] == [
        (OUTSIDE, (1, 2), ()),
        ("mm", (3,), (0, 1)),
        ("add", (4,), (2, 3)),
    ]
    assert told[1].addresses == (3,)


def test_what_is_allocated_between_operations_is_nobodys():
    told = stream_of([operation("mm", 0, 1), operation("add", 3, 4)], events("+1@1 +2@2 -@1 +3@3"))
    assert [(one.name, one.requested_bytes, one.freed) for one in told] == [
        ("mm", (1,), ()),
        (OUTSIDE, (2,), (0,)),
        ("add", (3,), ()),
    ]


def test_a_recording_that_begins_late_knows_no_earlier_allocations():
    told = stream_of([operation("mm", 101, 102)], events("-@9 +3@3"), begin=100)
    assert [(one.name, one.requested_bytes, one.freed) for one in told] == [("mm", (3,), ())]


def test_nothing_recorded_by_name_is_outside_of_all():
    (told,) = stream_of([], events("+3@3"))
    assert (told.name, told.requested_bytes) == (OUTSIDE, (3,))


def test_plain_allocations_have_phase_size_and_end():
    starts = [("forward", 0), ("backward", 3), ("optimizer", 5)]
    told = plain_allocations(starts, events("-@7 +1@1 +2@2 -@1 +3@1 +4@4 -@1 -@2"))
    assert told == [
        PlainAllocation("forward", 1, 2),
        PlainAllocation("forward", 2, 4),
        PlainAllocation("backward", 3, 4),
        PlainAllocation("optimizer", 4, None),
    ]
