from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorafa_prof.results.columns import METRICS
from lorafa_prof.words.amounts import parse_amount
from lorafa_prof.words.numbers import (
    percent,
    percent_change,
    shown,
    shown_change,
    signed,
    size,
    size_change,
    size_or_dash,
    three_digits,
)

units = st.sampled_from(sorted({column.unit for column in METRICS}))
#: From a millionth of a byte to what no machine has.
amounts = st.one_of(st.integers(-(10**19), 10**19), st.floats(1e-6, 1e19), st.floats(-1e19, -1e-6))


@given(st.integers(-(2**49), 2**49))
@example(1000 * 2**20 - 1)
@example(1000 * 2**30 - 1)
def test_a_size_has_at_most_three_digits_before_the_point(nbytes):
    number, unit = size(nbytes).split()
    assert len(number.split(".")[0].lstrip("-")) <= 3
    assert parse_amount(f"{number} {unit}", "bytes") == pytest.approx(nbytes, rel=1e-3)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (2**10, "1.000 KiB"),
        (999 * 2**20, "999.000 MiB"),
        (1010 * 2**20, "0.986 GiB"),
        (-3 * 2**29, "-1.500 GiB"),
        (5 * 2**40, "5.000 TiB"),
    ],
)
def test_sizes_are_said_in_the_unit_that_leaves_less_than_a_thousand(nbytes, text):
    assert size(nbytes) == size_or_dash(nbytes) == text
    assert size_change(nbytes) == (f"+{text}" if nbytes > 0 else text)


@pytest.mark.parametrize("unknown", [None, "", "3"])
def test_a_size_that_is_not_known_is_a_dash(unknown):
    assert size_or_dash(unknown) == "-"


@given(amounts.filter(bool), units)
def test_what_is_not_nothing_is_never_shown_as_nothing(amount, unit):
    told = shown_change(amount, unit)
    assert re.search("[1-9]", told), told
    assert told.startswith("+" if amount > 0 else "-")


def test_a_byte_is_shown():
    assert shown_change(1, "bytes") == "+1 B"
    assert shown_change(-0.25, "bytes") == "-0.25 B"
    assert shown_change(0.001, "bytes") == "+0.001 B"


@given(amounts, units)
def test_what_is_shown_reads_as_about_the_same(amount, unit):
    assert parse_amount(shown(amount, unit), unit) == pytest.approx(amount, rel=0.01)


@given(st.integers(1000, 2**60), st.sampled_from([1, -1]))
def test_a_change_of_many_bytes_has_every_digit(size, sign):
    told = shown_change(sign * size, "bytes")
    digits = re.search(r"\((.*)\)", told)
    assert digits is not None
    assert parse_amount(digits[1], "bytes") == sign * size


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (0, "bytes", "0 B"),
        (999, "bytes", "999 B"),
        (1010 * 2**20, "bytes", "0.986 GiB"),
        (3 * 2**30 // 2, "bytes", "1.500 GiB"),
        (5 * 10**12, "FLOP", "5.000 TFLOP"),
        (5 * 10**6, "FLOP", "5.000 MFLOP"),
        (1234567, "parameters", "1,234,567 parameters"),
        (0.85, "", "0.85"),
        (120.25, "ms", "120.2 ms"),
        (12394.4, "tokens/s", "12,394 tokens/s"),
    ],
)
def test_amounts_as_people_read_them(amount, unit, text):
    assert shown(amount, unit) == text


@pytest.mark.parametrize("unit", ["bytes", "ms", "FLOP", ""])
def test_no_change_has_no_sign(unit):
    assert shown_change(0, unit) == shown(0, unit)


def test_differences_have_every_digit_and_a_sign():
    assert [signed(number) for number in (1024, 0, -1536)] == ["+1,024", "0", "-1,536"]


def test_shares_are_percent_with_a_blank():
    assert (percent(0.125), percent(12.345, 2)) == ("12.5 %", "1,234.50 %")
    assert (percent_change(0.125), percent_change(-0.001, 2)) == ("+12.5 %", "-0.10 %")


def test_three_digits_or_all_of_a_larger_whole_number():
    values = (0, 0.0512, 0.9996, 5.912, 9.996, 42.54, 99.96, 12250.4)
    told = ["0", "0.051", "1.00", "5.91", "10.0", "42.5", "100", "12,250"]
    assert [three_digits(value) for value in values] == told
