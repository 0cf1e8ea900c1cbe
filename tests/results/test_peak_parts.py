from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.parts import PEAK_PARTS, SAVED_KINDS
from lorafa_prof.results.peak_parts import peak_parts, saved_by_kind

MIB = 2**20
VALUES = {
    "weights_bytes": 4 * MIB,
    "gradients_bytes": 1 * MIB,
    "optimizer_bytes": 2 * MIB,
    "activation_bytes": 3 * MIB,
    "peak_allocated_bytes": 12 * MIB,
}
SIZES = st.integers(1, 2**40)


def saved(*storages: tuple[str, int, bool]) -> dict[str, object]:
    names = ("kind", "nbytes", "from_before")
    return {"saved": {"storages": [dict(zip(names, storage, strict=True)) for storage in storages]}}


def test_what_is_peak_and_none_of_the_parts_is_said() -> None:
    assert peak_parts(VALUES, {"norm": 2 * MIB}) == {
        "weights_bytes": 4 * MIB,
        "gradients_bytes": MIB,
        "optimizer_bytes": 2 * MIB,
        "saved_norm": 2 * MIB,
        "unsaved": MIB,
        "other": 2 * MIB,
    }


def test_parts_that_are_more_than_the_peak_have_no_other() -> None:
    parts = peak_parts(VALUES | {"peak_allocated_bytes": 7 * MIB}, {"norm": 3 * MIB})
    assert sum(parts.values()) == 10 * MIB
    assert "other" not in parts


def test_without_saved_tensors_what_forward_holds_is_one_part() -> None:
    assert peak_parts(VALUES)["activation_bytes"] == 3 * MIB


@given(
    values=st.dictionaries(st.sampled_from([*VALUES]), SIZES),
    by_kind=st.dictionaries(st.sampled_from(SAVED_KINDS), SIZES),
)
def test_parts_are_the_peak_or_more_and_all_have_names(
    values: dict[str, int], by_kind: dict[str, int]
) -> None:
    parts = peak_parts(values, by_kind)
    assert sum(parts.values()) >= values.get("peak_allocated_bytes", 0)
    assert min(parts.values(), default=1) > 0
    assert parts.keys() <= PEAK_PARTS.keys()


def test_a_kind_that_this_version_does_not_know_is_another() -> None:
    storages = saved(
        ("quantum", MIB, False), ("other", MIB, False), ("norm", MIB, False), ("norm", MIB, True)
    )
    assert saved_by_kind(storages) == {"other": 2 * MIB, "norm": MIB}


def test_where_nothing_was_recorded_nothing_is_told_by_kind() -> None:
    assert saved_by_kind({"notes": []}) is None
