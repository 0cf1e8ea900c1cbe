from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.comparing.metrics import word_of_change
from lorafa_prof.comparing.tolerance import (
    COMPARED,
    Tolerance,
    compared_metric,
    parse_tolerance,
    tolerance_of,
)
from lorafa_prof.errors import UsageError
from lorafa_prof.results.columns import METRICS

MIB = 2**20
ALLOCATED = COMPARED["peak_allocated_bytes"]
SPEED = COMPARED["tokens_per_s"]


def tolerance(name: str, *given: str, on_cuda: bool = False) -> tuple[float, float]:
    found = tolerance_of(COMPARED[name], on_cuda=on_cuda, given=[parse_tolerance(text) for text in given])
    return float(found.share), float(found.floor)


def test_every_metric_but_sizes_has_a_direction():
    directions = {column.name: column.better for column in METRICS}
    assert {name for name, better in directions.items() if not better} == {"params_total", "params_trainable"}
    higher = {name for name, better in directions.items() if better == "higher"}
    assert higher == {
        "base_cosine",
        "fidelity_cosine",
        "mfu",
        "tokens_per_s",
        "tokens_per_s_per_gpu",
        "samples_per_s",
    }


def test_gradients_sums_may_differ_a_little():
    assert tolerance("fidelity_distance") == tolerance("fidelity_floor", on_cuda=True) == (0.01, 0)


def test_what_repeats_to_the_byte_has_no_tolerance():
    for name, column in COMPARED.items():
        if name.startswith("flops_"):
            assert tolerance(name) == tolerance(name, on_cuda=True) == (0, 0), name
        elif column.group == "memory" and name not in ("device_used_bytes", "host_rss_bytes"):
            assert tolerance(name) == (0, 0), name


def test_on_a_gpu_what_its_allocator_rounds_has_a_floor():
    floors = {
        name: tolerance(name, on_cuda=True)
        for name, column in COMPARED.items()
        if column.group == "memory" and name not in ("device_used_bytes", "host_rss_bytes")
    }
    assert floors.pop("peak_reserved_bytes") == (0, 32 * MIB)
    exact = {name for name, found in floors.items() if found == (0, 0)}
    assert exact == {"weights_bytes", "gradients_bytes", "optimizer_bytes", "saved_bytes"}
    assert {found for name, found in floors.items() if name not in exact} == {(0, 4 * MIB)}


def test_times_and_what_depends_on_the_machine_may_differ_by_a_share():
    for name, column in COMPARED.items():
        if column.group in ("time", "energy") or name == "mfu":
            assert tolerance(name) == (0.05, 0), name
    for name in ("device_used_bytes", "host_rss_bytes"):
        assert tolerance(name) == tolerance(name, on_cuda=True) == (0.05, 64 * MIB)


def test_what_is_given_stands_in_the_place_of_its_kind():
    assert tolerance("peak_reserved_bytes", "peak_reserved_bytes=2%", on_cuda=True) == (0.02, 32 * MIB)
    assert tolerance("peak_reserved_bytes", "peak_reserved_bytes=0 B", on_cuda=True) == (0, 0)
    assert tolerance("activation_bytes", "activation_bytes=1MiB", "activation_bytes = 1 %") == (0.01, MIB)
    assert tolerance("activation_bytes", "saved_bytes=1MiB") == (0, 0)
    assert tolerance("activation_bytes", "saved_bytes=1%", "mfu=2%") == (0, 0)
    assert tolerance("activation_bytes", "activation_bytes=1024") == (0, 1024)
    assert tolerance("mfu", "mfu=1%") == (0.01, 0)
    assert tolerance("mfu", "mfu=0.02") == (0.05, 0.02)


def test_without_a_metric_it_is_for_all_that_have_the_unit():
    assert tolerance("activation_bytes", "1%") == tolerance("tokens_per_s", "1%") == (0.01, 0)
    assert tolerance("activation_bytes", "4MiB") == (0, 4 * MIB)
    assert tolerance("step_ms_median", "4MiB") == (0.05, 0)
    assert tolerance("step_ms_median", "2 ms") == (0.05, 2)
    assert tolerance("flops_step", "1 GFLOP") == (0, 10**9)
    assert tolerance("tokens_per_s", "10 tokens/s") == (0.05, 10)


def test_the_last_one_counts():
    assert tolerance("saved_bytes", "1%", "saved_bytes=2%") == (0.02, 0)
    assert tolerance("saved_bytes", "saved_bytes=2%", "1%") == (0.01, 0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("saved_byte=1%", "unknown metric 'saved_byte' (did you mean 'saved_bytes'?)"),
        ("params_total=1%", "neither more nor less is better"),
        ("saved_bytes=1 Mib", "unknown unit 'Mib' (did you mean 'MiB'?)"),
        ("saved_bytes=1 ms", "unknown unit 'ms'"),
        ("1 Mib", "unknown unit 'Mib' (did you mean 'MiB'?)"),
        ("saved_bytes=", "no amount"),
        ("", "no amount"),
        ("much", "no amount"),
        ("%", "no amount"),
        ("=1%", "unknown metric ''"),
        ("5", "of what? Write a share, such as 1%, or an amount with its unit, such as 4MiB"),
        ("50", "of what?"),
        ("0.5", "of what?"),
        ("-1%", "--tolerance -1%: a tolerance is not negative"),
        ("-1MiB", "not negative"),
        ("saved_bytes=-1", "not negative"),
        (f"{10**400}.5 %", "--tolerance"),
    ],
)
def test_a_bad_one_is_one_line(text, told):
    with pytest.raises(UsageError) as error:
        parse_tolerance(text)
    assert "--tolerance" in str(error.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_metrics_by_name():
    assert compared_metric("mfu", "--metric") is COMPARED["mfu"]
    with pytest.raises(UsageError, match=r"--metric: unknown metric 'mfus' \(did you mean 'mfu'\?\)"):
        compared_metric("mfus", "--metric")


def test_it_is_told_for_people():
    assert Tolerance(Fraction(5, 100)).text("ms") == "5 %"
    assert Tolerance(floor=Fraction(4 * MIB)).text("bytes") == "4.000 MiB"
    assert Tolerance(Fraction("0.001"), Fraction("0.5")).text("ms") == "0.1 % and 0.5 ms"
    assert Tolerance(Fraction(1)).text("ms") == "100 %"
    assert Tolerance(Fraction(10, 100)).text("ms") == "10 %"
    assert Tolerance(Fraction("0.125")).text("ms") == "12.5 %"
    assert Tolerance().text("bytes") == "none"


BYTES = st.integers(0, 2**50)
TOLERANCES = st.builds(
    Tolerance,
    st.integers(0, 1000).map(lambda thousandths: Fraction(thousandths, 1000)),
    st.integers(0, 2**40).map(Fraction),
)


@given(BYTES, BYTES, TOLERANCES)
def test_a_change_counts_only_above_both(before, after, tolerance):
    # In whole thousandths of bytes, so without any rounding.
    more = abs(after - before)
    counts = 1000 * more > tolerance.share * 1000 * before and more > tolerance.floor
    word = word_of_change(ALLOCATED, before, after, tolerance)
    assert (word in ("better", "worse")) == counts
    assert (word == "same") == (before == after)
    if counts:
        assert word == ("worse" if after > before else "better")


@given(BYTES, BYTES, TOLERANCES)
def test_where_more_is_better_the_words_change_places(before, after, tolerance):
    other = {"better": "worse", "worse": "better"}
    word = word_of_change(ALLOCATED, before, after, tolerance)
    assert word_of_change(SPEED, before, after, tolerance) == other.get(word, word)


@given(BYTES, BYTES)
def test_without_a_tolerance_each_byte_counts(before, after):
    word = word_of_change(ALLOCATED, before, after, Tolerance())
    assert word == ("same" if before == after else "worse" if after > before else "better")


@given(st.integers(0, 10_000), st.integers(1, 2**40))
def test_a_change_of_just_the_tolerance_does_not_count(thousandths, base):
    """A percentage means what it says: 29 % of 100 is 29, though 0.29 · 100 < 29 in floating point."""
    share = parse_tolerance(f"{thousandths / 10}%").share
    assert share == Fraction(thousandths, 1000)
    before = 1000 * base
    limit = thousandths * base
    assert word_of_change(ALLOCATED, before, before + limit, Tolerance(share)) in ("same", "within tolerance")
    assert word_of_change(ALLOCATED, before, before + limit + 1, Tolerance(share)) == "worse"
