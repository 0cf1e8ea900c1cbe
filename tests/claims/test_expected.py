from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.claims.expected import BoundError, Expected, expected_of
from lorafa_prof.scenario.claim import Claim

MIB = 2**20
sizes = st.integers(0, 2**50)
hundredths = st.integers(1, 500)


def expected(unit: str = "bytes", **keys: Any) -> Expected:
    return expected_of(Claim(name="a", metric=["x"], **keys), unit)


def refused(unit: str = "bytes", **keys: Any) -> tuple[str, str]:
    with pytest.raises(BoundError) as caught:
        expected(unit, **keys)
    return caught.value.key, str(caught.value)


@given(sizes, st.integers(1, 2**40))
def test_a_bound_holds_at_itself_and_fails_a_byte_beyond(bound, beyond):
    for keys in ({"at_most": bound}, {"equals": bound}, {"between": [0, bound]}):
        assert expected(**keys).excess(bound) == 0
        assert expected(**keys).excess(bound + beyond) == beyond
    for keys in ({"at_least": bound}, {"equals": bound}, {"between": [bound, 2**60]}):
        assert expected(**keys).excess(bound) == 0
        assert expected(**keys).excess(bound - beyond) == -beyond
    assert expected(at_most=bound).excess(-1) == 0
    assert expected(at_least=bound).excess(2**60) == 0


@given(sizes, st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_tolerance_is_on_both_sides_and_the_excess_counts_from_the_bound(bound, slack, beyond):
    within = expected(equals=bound, tolerance=f"{slack} B")
    assert within.excess(bound + slack) == within.excess(bound - slack) == 0
    assert within.excess(bound + slack + beyond) == slack + beyond
    assert within.excess(bound - slack - beyond) == -slack - beyond


@given(st.integers(1, 2**40), st.integers(1, 99))
def test_a_share_is_of_the_bound_and_exact(hundredth, percent):
    bound, slack = 100 * hundredth, percent * hundredth
    within = expected(equals=bound, tolerance=f"{percent} %")
    assert within.excess(bound + slack) == within.excess(bound - slack) == 0
    assert within.excess(bound + slack + 1) == slack + 1
    assert within.excess(bound - slack - 1) == -slack - 1


@given(hundredths, st.integers(1, 99))
def test_decimals_are_taken_as_written(bound, slack):
    within = expected("", equals=bound / 100, tolerance=slack / 100)
    most, least = (bound + slack) / 100, (bound - slack) / 100
    assert within.excess(most) == within.excess(least) == 0
    assert within.excess(most + 1e-9) > 0
    assert within.excess(least - 1e-9) < 0


@given(st.integers(0, 100), st.integers(1, 99))
def test_a_tolerance_of_a_ratio_in_percent_is_of_the_bound(bound, percent):
    within = expected("", equals=f"{bound} %", tolerance=f"{percent} %")
    assert within.limits == (bound * (100 - percent) / 10**4, bound * (100 + percent) / 10**4)


def test_beyond_what_floats_tell_apart_one_too_much_is_one_too_much():
    assert expected("FLOP", at_most=1e17).excess(10**17 + 1) == 1
    assert expected("FLOP", at_least=1e17).excess(10**17 - 1) == -1


def test_bounds_are_in_the_unit_of_the_metric():
    assert expected(at_least="1 KiB", at_most="1 MiB").limits == (1024, MIB)
    assert expected("ms", at_most="2 s").limits[1] == 2000
    assert expected("", at_most="85 %").limits[1] == 0.85
    assert expected("", at_most="0.5").limits[1] == 0.5


@pytest.mark.parametrize(
    ("unit", "keys", "key", "words"),
    [
        ("bytes", {"at_most": "much"}, "at_most", "'much' is no amount"),
        ("bytes", {"at_least": "3 ms"}, "at_least", "unknown unit 'ms'"),
        ("bytes", {"equals": "85 %"}, "equals", "unknown unit '%'"),
        ("", {"between": [0, "3 MiB"]}, "between", "a ratio takes %"),
        ("bytes", {"between": ["baseline", 3]}, "between", "'baseline' is no amount"),
        ("bytes", {"between": [3, 2]}, "between", "the least is more than the most"),
        ("bytes", {"at_least": "1 MiB", "at_most": "1 MB"}, "at_least", "the least is more than the most"),
        ("bytes", {"at_most": float("nan")}, "at_most", "nan is no amount"),
        ("", {"at_most": 0.85, "tolerance": 5}, "tolerance", "of a ratio, 5 is 500 %: write '5 %'"),
        ("", {"at_most": 0.85, "tolerance": "1"}, "tolerance", "of a ratio, 1 is 100 %"),
        ("bytes", {"at_most": 3, "tolerance": -1}, "tolerance", "a tolerance is not negative"),
        ("bytes", {"at_most": 3, "tolerance": "-1 %"}, "tolerance", "a tolerance is not negative"),
        ("bytes", {"at_most": 3, "tolerance": "1 ms"}, "tolerance", "unknown unit 'ms'"),
        ("bytes", {"at_most": 3, "tolerance": "baseline"}, "tolerance", "'baseline' is no amount"),
        ("bytes", {"at_most": 3, "tolerance": float("inf")}, "tolerance", "inf is no amount"),
        ("bytes", {"at_least": "no"}, "at_least", "'no' is no amount"),
        ("bytes", {"at_most": "1:30"}, "at_most", "unknown unit ':30'"),
        ("", {"at_most": 1, "tolerance": 5}, "tolerance", "of a ratio, 5 is 500 %: write '5 %' for"),
        ("", {"at_most": 1, "tolerance": "1"}, "tolerance", "of a ratio, 1 is 100 %: write '1 %'"),
    ],
)
def test_a_bound_that_means_nothing_is_told_with_its_key(unit, keys, key, words):
    at, said = refused(unit, **keys)
    assert at == key
    assert words in said


def test_the_baselines_value_takes_its_place_and_keeps_the_tolerance():
    unknown = expected(at_most="baseline", tolerance="1 KiB")
    assert unknown.from_baseline
    assert unknown.excess(2**60) == 0, "nothing is known yet"
    known = unknown.with_baseline(MIB)
    assert known.excess(MIB + 1024) == 0
    assert known.excess(MIB + 1025) == 1025
    assert known.excess(0) == 0
    both = expected(equals="baseline").with_baseline(MIB)
    assert (both.excess(MIB + 1), both.excess(MIB - 1)) == (1, -1)
    least = expected(at_least="baseline", at_most="2 MiB").with_baseline(MIB)
    assert least.limits == (MIB, 2 * MIB)
    assert not expected(at_most=3).from_baseline
    assert expected(at_most=3).with_baseline(9) == expected(at_most=3)


@pytest.mark.parametrize(
    ("unit", "keys", "text"),
    [
        ("bytes", {"at_most": "24 MiB"}, "≤ 24.000 MiB"),
        ("bytes", {"at_least": "24 MiB"}, "≥ 24.000 MiB"),
        ("bytes", {"at_least": 0}, "≥ 0 B"),
        ("bytes", {"between": ["1 MiB", "2 MiB"]}, "1.000 MiB to 2.000 MiB"),
        ("bytes", {"equals": "24 MiB", "tolerance": "1 KiB"}, "= 24.000 MiB ± 1.000 KiB"),
        ("", {"equals": 1, "tolerance": "7 %"}, "= 1 ± 7 %"),
        ("", {"equals": 1, "tolerance": "0.01 %"}, "= 1 ± 0.01 %"),
        ("", {"equals": 1, "tolerance": "20 %"}, "= 1 ± 20 %"),
        ("", {"equals": 1, "tolerance": "0.00000001 %"}, "= 1 ± 1e-08 %"),
        ("", {"between": [0.850001, 0.850002]}, "0.85 to 0.85"),
        ("bytes", {"at_most": "baseline"}, "≤ the baseline"),
        ("bytes", {"at_least": "baseline"}, "≥ the baseline"),
        ("bytes", {"equals": "baseline", "tolerance": 8}, "= the baseline ± 8 B"),
        ("bytes", {"at_least": "baseline", "at_most": 8}, "the baseline to 8 B"),
        ("bytes", {"at_least": 8, "at_most": "baseline"}, "8 B to the baseline"),
    ],
)
def test_what_is_expected_as_text(unit, keys, text):
    assert str(expected(unit, **keys)) == text
