"""Which limits hold, and what is said where one does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.saved.recorder import SavedStorage
from lorafa_prof.profiling.result import Profile
from lorafa_prof.testing.limits import Limit, What, broken, limit_of

MIB = 2**20


def storage(nbytes: int, module: str = "layers.0.up", line: str = "net.py:7", **more: Any) -> SavedStorage:
    shape = more.get("shape", (nbytes // 4,))
    return SavedStorage(
        module, "linear", more.get("kind", "linear_input"), shape, "float32", nbytes, 1, False, line
    )


def profile_of(*tensors: SavedStorage, activation: int = 0, peak: int = 0) -> Profile:
    return Profile(activation, sum(t.nbytes for t in tensors), peak, "cpu", tensors)


@pytest.mark.parametrize(
    ("written", "expected"), [("24 MiB", 24 * MIB), (1024, 1024), (0, 0), ("1.5 GiB", 1536 * MIB), (1.9, 1)]
)
def test_amounts(written: Any, expected: int) -> None:
    assert limit_of("saved", (written,), {}) == Limit("saved", expected)


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, r"limit_saved\(\): it takes one amount"),
        (("1 MiB", "2 MiB"), {}, r"limit_saved\('1 MiB', '2 MiB'\): it takes one amount"),
        ((), {"amount": "1 MiB"}, r"limit_saved\(amount='1 MiB'\): it takes one amount"),
        ((None,), {}, "it takes one amount"),
        ((True,), {}, "it takes one amount"),
        (("24 MiBs",), {}, "unknown unit 'MiBs'.*did you mean 'MiB'"),
        (("much",), {}, "'much' is no amount"),
        ((float("nan"),), {}, "no amount"),
        (("-1 MiB",), {}, "not below 0"),
        ((-1,), {}, "not below 0"),
    ],
)
def test_what_is_no_amount(args: Any, kwargs: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        limit_of("saved", args, kwargs)
    assert "\n" not in str(raised.value)


@given(st.sampled_from(["activation", "saved", "peak"]), st.integers(0, 100), st.lists(st.integers(0, 100)))
def test_a_limit_is_broken_by_any_profile_above_it(what: What, at_most: int, measured: list[int]) -> None:
    profiles = [
        Profile(*(value if name == what else 0 for name in ("activation", "saved", "peak")), "cpu", ())
        for value in measured
    ]
    holds = broken([Limit(what, at_most)], profiles) is None
    assert holds == (measured != [] and max(measured) <= at_most)


def test_a_test_that_measured_nothing_is_no_pass() -> None:
    said = broken([Limit("saved", 1), Limit("peak", 1)], [])
    assert said is not None
    assert said.startswith("limit_saved and limit_peak: the test measured nothing")


def test_what_is_said_of_activation() -> None:
    taken = profile_of(storage(24 * MIB), storage(6 * MIB, "norm", kind="norm"), activation=32 * MIB)
    assert broken([Limit("activation", 24 * MIB)], [taken]) == "\n".join(
        [
            "activation 32.000 MiB > limit 24.000 MiB on cpu",
            "  8.000 MiB too much: 33,554,432 B measured, 25,165,824 B allowed",
            "  30.000 MiB of it are saved for backward",
            "  2.000 MiB are held otherwise: results, what blocks have left over",
            "",
            "     bytes  tensors               kind          saved at  module",
            "24.000 MiB  1 × float32[6291456]  linear_input  net.py:7  layers.*.up",
            " 6.000 MiB  1 × float32[1572864]  norm          net.py:7  norm",
        ]
    )


def test_what_is_said_of_a_peak() -> None:
    said = broken([Limit("peak", 3 * MIB)], [profile_of(storage(MIB), peak=4 * MIB)])
    assert said is not None
    assert said.splitlines()[:4] == [
        "peak 4.000 MiB > limit 3.000 MiB on cpu",
        "  1.000 MiB too much: 4,194,304 B measured, 3,145,728 B allowed",
        "  1.000 MiB of it are saved for backward",
        "  3.000 MiB are temporary, or gradients and state that the step makes",
    ]


def test_of_several_profiles_those_above_are_told() -> None:
    small, large = profile_of(storage(8)), profile_of(storage(32))
    said = broken([Limit("saved", 16)], [small, large, small, large])
    assert said is not None
    assert [line for line in said.splitlines() if line.startswith("saved")] == [
        "saved 32 B > limit 16 B on cpu, profile 2 of 4",
        "saved 32 B > limit 16 B on cpu, profile 4 of 4",
    ]


def test_equal_tensors_of_like_modules_are_one_row_and_ten_rows_are_shown() -> None:
    alike = [storage(32, f"layers.{index}.up") for index in range(32)]
    others = [storage(4 * size, "head", f"net.py:{size}") for size in range(1, 13)]
    said = broken([Limit("saved", 0)], [profile_of(*others, *alike)])
    assert said is not None
    rows = said.split("\n\n")[1].splitlines()
    assert rows[1].split() == [
        "1.000",
        "KiB",
        "32",
        "×",
        "float32[8]",
        "linear_input",
        "net.py:7",
        "layers.*.up",
    ]
    assert [row.split()[-2] for row in rows[2:-1]] == [f"net.py:{size}" for size in range(12, 3, -1)]
    assert rows[-1] == "and 3 smaller ones of 24 B together"


def test_where_nothing_was_saved_that_is_said() -> None:
    said = broken([Limit("peak", 0)], [profile_of(peak=1)])
    assert said is not None
    assert said.endswith("\n\nAutograd saved no tensors.")
