from __future__ import annotations

import pytest

from lorafa_prof.words.scales import GIB, bytes_scale, flop_scale, samples_scale, tokens_scale


@pytest.mark.parametrize(
    ("largest", "unit"),
    [
        (0, "B"),
        (2**10 - 1, "B"),
        (2**10, "KiB"),
        (1010 * 2**20, "MiB"),
        (2**30, "GiB"),
        (2**45, "GiB"),
    ],
)
def test_the_largest_value_is_one_or_more_and_never_in_tib(largest, unit):
    assert bytes_scale(largest).unit == unit


@pytest.mark.parametrize(
    ("largest", "unit"),
    [(0, "FLOP"), (10**6, "MFLOP"), (10**9 - 1, "MFLOP"), (10**12, "TFLOP"), (10**18, "PFLOP")],
)
def test_flop_have_decimal_units(largest, unit):
    assert flop_scale(largest).unit == unit


def test_what_is_counted_is_not_scaled():
    assert [scale(10**9).divisor for scale in (tokens_scale, samples_scale)] == [1, 1]


def test_a_value_stands_without_the_unit_that_a_header_names():
    assert GIB.text(3 * 2**29) == "1.500"
    assert GIB.text(-(2**41)) == "-2,048.000"
