"""Student's interval, against the tables in every textbook."""

from __future__ import annotations

import pytest

from lorafa_prof.quality.interval import Interval, interval_of, student_t


@pytest.mark.parametrize(
    ("confidence", "degrees", "t"),
    [
        (0.95, 1, 12.706205),
        (0.95, 2, 4.302653),
        (0.95, 3, 3.182446),
        (0.95, 4, 2.776445),
        (0.95, 9, 2.262157),
        (0.95, 30, 2.042272),
        (0.99, 2, 9.924843),
        (0.9, 5, 2.015048),
    ],
)
def test_t_is_that_of_the_tables(confidence: float, degrees: int, t: float) -> None:
    assert student_t(confidence, degrees) == pytest.approx(t, abs=1e-6)


def test_the_interval_of_three_seeds() -> None:
    found = interval_of([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert (found.low, found.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_the_order_of_seeds_changes_no_digit() -> None:
    values = [0.1, 1e9, 0.3, -1e9, 0.7]
    assert interval_of(values) == interval_of(values[::-1])


def test_one_seed_has_no_interval() -> None:
    assert interval_of([7.0]) == Interval(7.0, None, None, 1)


def test_equal_seeds_have_an_interval_of_no_width() -> None:
    assert interval_of([0.3] * 3) == Interval(0.3, 0.3, 0.3, 3)
