from __future__ import annotations

from streams import plain_of, stream

from lorafa_prof.verification.differences import STILL_THERE, step_differences
from lorafa_prof.verification.unrecorded import AROUND, UNNAMED, mark_explained, unrecorded_differences

TWIN = stream(
    "forward a mm +512 +8 -1",
    "forward b mm +512",
    "backward b mm +256 -2",
    "backward a mm +256 -0",
    "optimizer . step +64 -3 -4",
)


def test_a_step_of_the_same_sizes_and_lifetimes_has_none():
    assert unrecorded_differences(plain_of(TWIN), TWIN) == []


def test_what_the_twin_misses_has_no_name():
    plain = plain_of(
        stream(
            "forward a mm +512 +8 -1",
            "forward b mm +512",
            "backward . sort +1024 -3",
            "backward b mm +256 -2",
            "backward a mm +256 -0",
            "optimizer . step +64 -4 -5",
        )
    )
    (found,) = unrecorded_differences(plain, TWIN)
    difference = found.difference
    assert (difference.kind, difference.phase, difference.operation) == ("gpu only", "backward", UNNAMED)
    assert difference.gpu_bytes == (1024,)


def test_what_only_the_twin_has_and_other_sizes_are_named():
    plain = plain_of(TWIN)
    plain[0] = plain[0]._replace(requested_bytes=640)
    (found,) = unrecorded_differences(plain, TWIN)
    assert (found.difference.kind, found.difference.module) == ("sizes", "a")
    assert (found.difference.gpu_bytes, found.difference.twin_bytes) == ((640,), (512,))
    shorter = [one._replace(freed_at=(one.freed_at or 1) - 1) for one in plain_of(TWIN)[1:]]
    found = unrecorded_differences(shorter, TWIN)[0]
    assert (found.difference.kind, found.difference.operation) == ("twin only", "mm")


def test_a_lifetime_between_other_allocations_is_a_difference():
    plain = plain_of(TWIN)
    plain[2] = plain[2]._replace(freed_at=5)
    (found,) = unrecorded_differences(plain, TWIN)
    difference = found.difference
    assert (difference.kind, difference.module, difference.twin_freed_in) == ("freed", "b", "mm")
    assert difference.gpu_freed_in == "mm"
    plain[2] = plain[2]._replace(freed_at=None)
    (found,) = unrecorded_differences(plain, TWIN)
    assert found.difference.gpu_freed_in == STILL_THERE


def test_the_order_within_an_operation_counts():
    """A workspace given back before the result is taken leaves room for it."""
    early = stream("forward a mm +8 -0 +512")
    late = stream("forward a mm +8 +512 -0")
    assert step_differences(early, late) == []
    (found,) = unrecorded_differences(plain_of(early), late)
    assert found.difference.kind == "freed"


MANY = [f"forward layer.{number} mm +{512 * (number + 1)}" for number in range(20)]


def test_what_the_recording_adds_is_explained_and_what_is_wrong_is_not():
    """The GPU adds up out of place only while it is recorded; the twin misses a real one far away."""
    twin = stream(*MANY)
    recorded = stream(*MANY[:2], "forward . add +77", *MANY[2:15], "forward . sort +99", *MANY[15:])
    plain = plain_of(stream(*MANY[:15], "forward . sort +99", *MANY[15:]))
    unrecorded = unrecorded_differences(plain, twin)
    assert [one.difference.gpu_bytes for one in unrecorded] == [(99,)]
    told = mark_explained(step_differences(recorded, twin), unrecorded)
    assert [(one.operation, one.explained) for one in told] == [("add", True), ("sort", False)]


def test_a_difference_beside_a_wrong_one_is_not_explained():
    twin = stream(*MANY)
    plain = plain_of(stream(*MANY[:10], "forward . sort +99", *MANY[10:]))
    unrecorded = unrecorded_differences(plain, twin)
    far = AROUND + 2
    for distance, explained in ((-far, True), (-AROUND, False), (AROUND, False), (far, True)):
        at = 10 + distance
        recorded = stream(*MANY[:at], "forward . add +77", *MANY[at:])
        (told,) = mark_explained(step_differences(recorded, twin), unrecorded)
        assert told.explained is explained
