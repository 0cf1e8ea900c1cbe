"""Lengths that are drawn, against the distributions they are of; and what is no length."""

from __future__ import annotations

import math
from statistics import NormalDist, mean, median, stdev

import pytest
from pydantic import ValidationError

from lorafa_prof.scenario.lengths import Lengths, lengths_of

MANY = {"min": 128, "max": 2048, "steps": 10_000}


def test_listed_lengths_are_as_they_are() -> None:
    assert lengths_of({"lengths": [5, 3, 5]}) == (5, 3, 5)


def test_uniform_lengths_fill_their_bounds_evenly() -> None:
    found = lengths_of({"distribution": "uniform", **MANY})
    assert (min(found), max(found), len(found)) == (128, 2048, 10_000)
    assert mean(found) == pytest.approx((128 + 2048) / 2, rel=0.02)
    assert stdev(found) == pytest.approx((2048 - 128) / math.sqrt(12), rel=0.02)
    few = lengths_of({"distribution": "uniform", "min": 1, "max": 3, "steps": 9000})
    assert [few.count(value) for value in (1, 2, 3)] == pytest.approx([3000] * 3, rel=0.05)


def test_logarithms_are_normal_between_bounds_two_deviations_away() -> None:
    found = lengths_of({"distribution": "lognormal", **MANY})
    assert median(found) == pytest.approx(math.sqrt(128 * 2048), rel=0.03)
    beyond = NormalDist().cdf(-2)
    assert found.count(128) / len(found) == pytest.approx(beyond, rel=0.2)
    assert found.count(2048) / len(found) == pytest.approx(beyond, rel=0.2)
    one_deviation = math.sqrt(128 * 2048) * (2048 / 128) ** 0.25
    assert sum(value < one_deviation for value in found) / len(found) == pytest.approx(0.8413, rel=0.02)


def test_a_seed_means_the_same_everywhere() -> None:
    """By Python's generator, seed 0: its first numbers are 0.8444218515250481, 0.7579544029403025."""
    drawn = {"distribution": "uniform", "min": 1, "max": 1000, "steps": 2}
    assert lengths_of(drawn) == lengths_of({**drawn, "seed": 0}) == (845, 758)
    assert lengths_of({**drawn, "seed": 1}) != lengths_of(drawn)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({}, "either lengths, or a distribution"),
        ({"lengths": []}, "at least 1 item"),
        ({"lengths": [0]}, "greater than or equal to 1"),
        ({"lengths": [5], "seed": 0}, "leave out the rest"),
        ({"lengths": [5], "distribution": "uniform"}, "leave out the rest"),
        ({"distribution": "uniform", "min": 1, "max": 2}, "not said: steps"),
        ({"distribution": "uniform", "min": 3, "max": 2, "steps": 1}, "min 3 is more than max 2"),
        ({"distribution": "zipf", "min": 1, "max": 2, "steps": 1}, "'uniform' or 'lognormal'"),
        ({"distribution": "uniform", "min": 1, "max": 2, "steps": 10_001}, "less than or equal to 10000"),
    ],
)
def test_what_is_no_run_is_an_error(written: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Lengths.model_validate(written)
