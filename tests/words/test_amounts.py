from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.words.amounts import exact, parse_amount, plain

#: By the standard: SI prefixes are powers of ten, IEC ones powers of two.
SIZES = {
    "bytes": {
        **{"": 1, "B": 1, "bytes": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
        **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
    },
    "FLOP": {"": 1, "FLOP": 1, "MFLOP": 10**6, "GFLOP": 10**9, "TFLOP": 10**12, "PFLOP": 10**15},
    "ms": {"": 1, "ms": 1, "s": 10**3},
    "parameters": {"": 1, "parameters": 1},
}
written_units = st.sampled_from([(unit, name) for unit, names in SIZES.items() for name in names])
decimals = st.decimals(-(10**6), 10**6, allow_nan=False, places=3)


def refusal(written: str | float, unit: str) -> str:
    with pytest.raises(ValueError, match=r"amount|unit") as caught:
        parse_amount(written, unit)
    return str(caught.value)


@given(st.integers(-(10**15), 10**15), written_units, st.sampled_from(["", " ", "  "]))
def test_whole_amounts_are_exact_and_stay_whole(number, unit, space):
    of, name = unit
    for text in (f"{number}{space}{name}", f"{number:,}{space}{name}", f"{number:_}{space}{name}"):
        amount = parse_amount(text, of)
        assert amount == number * SIZES[of][name]
        assert isinstance(amount, int)


@given(decimals, written_units)
def test_decimals_are_exact_where_they_come_to_whole_ones_and_else_as_near_as_floats_are(number, unit):
    of, name = unit
    wanted = number * SIZES[of][name]
    amount = parse_amount(f"{number:f} {name}", of)
    assert amount == (int(wanted) if wanted == wanted.to_integral_value() else float(wanted))
    assert isinstance(amount, int) == (wanted == wanted.to_integral_value())


@given(decimals)
def test_a_percentage_of_a_ratio_is_a_hundredth(number):
    assert parse_amount(f"{number:f} %", "") == float(number / 100)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_taken_as_it_is(number):
    amount = parse_amount(number, "bytes")
    assert amount == number
    assert type(amount) is type(number)


def test_other_ways_of_writing_numbers():
    assert parse_amount(" 1.5e3 KiB ", "bytes") == 1536000
    assert parse_amount("+2 s", "ms") == 2000
    assert parse_amount("250 us", "ms") == 0.25
    assert parse_amount("1.5e-1", "") == 0.15


@pytest.mark.parametrize("text", ["1,5 GiB", "12,34", "1,0000", "1__000", "1,024,5 B", "1.5.2", "5."])
def test_a_comma_that_divides_no_thousands_is_never_read_as_one(text):
    assert refusal(text, "bytes") == (f"'{text}' is no amount: write a number, or an amount such as '24 MiB'")


@pytest.mark.parametrize(
    ("unit", "example"),
    [("bytes", "'24 MiB'"), ("ms", "'120 ms'"), ("", "'85 %'"), ("tokens/s", "a number of tokens/s")],
)
@pytest.mark.parametrize("text", ["", "much", "GiB 3", "-", "١٢"])
def test_what_is_no_amount_is_told_what_would_be_one(text, unit, example):
    said = refusal(text, unit)
    assert said.startswith(f"'{text}' is no amount")
    assert example in said


@pytest.mark.parametrize(
    ("text", "unit", "said"),
    [
        ("24 MBs", "bytes", "'MBs' (did you mean 'MB'?); bytes take B, bytes, kB, MB, GB, TB"),
        ("24 MIB", "bytes", "'MIB' (did you mean 'MiB'?); "),
        ("24 mb", "bytes", "'mb' (did you mean 'MB'?); "),
        ("24 ms", "bytes", "'ms'; bytes take "),
        ("85 %", "bytes", "'%'; bytes take "),
        ("24 MiB", "", "'MiB'; a ratio takes %"),
        ("24 MiB", "ms", "'MiB'; ms take us, ms, s"),
        ("3 k", "parameters", "'k'; parameters take parameters"),
        ("3 GiB or so", "bytes", "'GiB or so'"),
        ("1e5e3", "bytes", "'e3'"),
    ],
)
def test_a_unit_that_is_unknown_or_of_something_else_is_told_which_there_are(text, unit, said):
    assert f"unknown unit {said}" in refusal(text, unit)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_is_no_amount(number):
    assert refusal(number, "bytes") == f"{number} is no amount"


@pytest.mark.parametrize("written", [10**400, "9" * 400 + ".5", "9" * 305 + ".5 TiB", "9" * 305 + " TiB"])
def test_more_than_a_float_can_be_is_refused(written):
    assert len(refusal(written, "bytes").splitlines()) == 1


@pytest.mark.parametrize("written", ["1e999999999", "1e-999999999", "1e999999999 GiB"])
def test_an_exponent_without_end_is_refused_and_not_computed(written):
    assert "unknown unit 'e" in refusal(written, "bytes")


@given(decimals)
def test_a_float_is_the_decimal_that_was_written(number):
    assert exact(float(number)) == Fraction(number)
    assert plain(exact(float(number))) == float(number)
