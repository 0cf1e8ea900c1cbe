from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from outcomes import on, outcome

from lorafa_prof.comparing.metrics import word_of_interval
from lorafa_prof.comparing.times import SAMPLED, Interval, interval, ratio_of_percentiles
from lorafa_prof.comparing.tolerance import COMPARED

STEP = COMPARED["step_ms_median"]
SPEED = COMPARED["tokens_per_s"]
TIMES = st.lists(st.floats(0.01, 1e6), min_size=5, max_size=12)
#: As many draws as needed for a property, and no more: each draws thousands of times.
FEW = settings(max_examples=40)


def found(base, new, *, metric="step_ms_median", ratio=None):
    ours, theirs = (outcome(on("cuda"), step_ms=times, phases_ms=times) for times in (base, new))
    if ratio is None:
        sampled = SAMPLED[metric]
        ratio = np.percentile(new, sampled.percentile) / np.percentile(base, sampled.percentile)
        ratio = 1 / ratio if sampled.inverse else ratio
    return interval(SAMPLED[metric], ours, theirs, ratio)


def word(base, new, metric=STEP, limit=0.05):
    between = found(base, new, metric=metric.name)
    assert isinstance(between, Interval)
    return word_of_interval(metric, between, limit)


@FEW
@given(TIMES)
def test_the_same_times_are_neither_better_nor_worse(times):
    assert word(times, times) in ("within tolerance", "inconclusive")
    between = found(times, times)
    assert between.low <= 1 <= between.high


@FEW
@given(TIMES, TIMES, st.randoms())
def test_the_order_of_samples_does_not_matter(base, new, random):
    assert found(base, new) == found(random.sample(base, len(base)), random.sample(new, len(new)))


@FEW
@given(st.lists(st.floats(100, 104), min_size=5, max_size=12), st.floats(1.5, 5))
def test_what_takes_much_longer_is_worse_and_the_other_way_round(times, factor):
    slower = [factor * ms for ms in times]
    assert (word(times, slower), word(slower, times)) == ("worse", "better")
    assert (word(times, slower, SPEED), word(slower, times, SPEED)) == ("worse", "better")


@FEW
@given(TIMES, TIMES, st.floats(0.001, 1000))
def test_the_unit_of_time_does_not_matter(base, new, factor):
    between = found(base, new)
    scaled = found([factor * ms for ms in base], [factor * ms for ms in new])
    assert (scaled.low, scaled.high) == pytest.approx((between.low, between.high), rel=1e-9)


@FEW
@given(TIMES, TIMES)
def test_the_interval_lies_within_what_the_samples_allow(base, new):
    between = found(base, new)
    assert min(new) / max(base) <= between.low * (1 + 1e-9)
    assert between.low <= between.high
    assert between.high <= max(new) / min(base) * (1 + 1e-9)


@FEW
@given(TIMES, TIMES)
def test_rates_have_the_inverse_interval(base, new):
    times, rates = found(base, new), found(base, new, metric="tokens_per_s")
    assert (rates.low, rates.high) == pytest.approx((1 / times.high, 1 / times.low), rel=1e-9)


def test_as_often_as_not_told_as_95_percent_says():
    """Of two runs that are alike, the interval has 1 in it in about 95 of 100 comparisons."""
    random = np.random.default_rng(7)
    tries = 300
    missed = 0
    for _ in range(tries):
        base, new = (tuple(sorted(random.normal(100, 3, 10))) for _ in range(2))
        _, low, high = ratio_of_percentiles(base, new, 50)
        missed += not low <= 1 <= high
    # Three standard deviations of a binomial of 5 %.
    assert missed / tries < 0.05 + 3 * (0.05 * 0.95 / tries) ** 0.5
    assert missed > 0, "an interval that never misses is too wide to find anything"


def test_a_difference_is_found_from_enough_samples():
    random = np.random.default_rng(7)
    base, slower, alike = (list(random.normal(mean, 1, 10)) for mean in (100, 108, 100.5))
    assert word(base, slower) == "worse"
    assert word(base, alike) == "within tolerance"


def test_it_is_as_wide_as_the_order_statistics_say():
    """By another way: the median of ten resamples' exact distribution, from the binomial."""
    times = tuple(float(ms) for ms in range(101, 112))  # eleven: the median of a resample is one of them
    n = len(times)

    def at_most(rank: int) -> float:
        """Probability that the median of a resample is one of the `rank` smallest."""
        p = rank / n
        return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n // 2 + 1, n + 1))

    low = next(times[rank - 1] for rank in range(1, n + 1) if at_most(rank) >= 0.025)
    high = next(times[rank - 1] for rank in range(1, n + 1) if at_most(rank) >= 0.975)
    constant = (100.0,) * 5
    _, *between = ratio_of_percentiles(constant, times, 50)
    assert between == pytest.approx([low / 100, high / 100])


@pytest.mark.parametrize(
    ("metric", "least"), [("step_ms_median", 5), ("tokens_per_s", 5), ("step_ms_p95", 20)]
)
def test_too_few_samples_have_no_interval(metric, least):
    enough, few = [1.0] * least, [1.0] * (least - 1)
    assert isinstance(found(enough, enough, metric=metric), Interval)
    for base, new in ((few, enough), (enough, few)):
        assert found(base, new, metric=metric) == f"{least - 1} samples, {least} are needed: time more steps"


def test_times_of_zero_have_no_interval():
    assert "too coarse" in found([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [1.0] * 5, ratio=2.0)


@pytest.mark.parametrize("phase", ["forward", "backward", "optimizer"])
def test_phases_have_samples_of_their_own(phase):
    base = outcome(on("cuda"), step_ms=[100.0] * 5, phases_ms=[10.0] * 5)
    new = outcome(on("cuda"), step_ms=[100.0] * 5, phases_ms=[20.0, 25.0, 30.0, 35.0, 40.0])
    between = interval(SAMPLED[f"{phase}_ms"], base, new, 3.0)
    assert isinstance(between, Interval)
    assert between.low < 3.0 < between.high
    assert interval(SAMPLED["step_ms_median"], base, new, 1.0) == Interval(1.0, 1.0)


def test_mfu_has_more_in_it_than_times():
    """Half the FLOPs in the same time: half the MFU."""
    assert found([1.0] * 5, [1.0] * 5, metric="mfu", ratio=0.5) == Interval(0.5, 0.5)


@given(st.floats(0.1, 10), st.floats(0, 5), st.floats(0, 0.99))
def test_only_an_interval_wholly_on_one_side_decides(low, width, limit):
    between = Interval(low, low + width)
    assume(min(abs(edge - side) for edge in (low, low + width) for side in (1 - limit, 1 + limit)) > 1e-9)
    inside = between.low > 1 - limit and between.high < 1 + limit
    said = word_of_interval(STEP, between, limit)
    assert said == (
        "worse"
        if between.low > 1 + limit
        else "better"
        if between.high < 1 - limit
        else "within tolerance"
        if inside
        else "inconclusive"
    )


def test_it_is_told_in_percent():
    assert str(Interval(0.99, 1.0512)) == "95 % interval -1.00 to +5.12 %"
