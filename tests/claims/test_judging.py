"""What holds, what fails and by how much, and what is never judged at all."""

from __future__ import annotations

from typing import Any

import pytest
from claimed import cell, judged, only, result
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.claims.reporters.json_report import json_report
from lorafa_prof.claims.reporters.junit import junit
from lorafa_prof.claims.reporters.markdown import markdown
from lorafa_prof.claims.reporters.terminal import terminal
from lorafa_prof.results.record import CellResult

LORA, LORA_FA = cell("lora", 8), cell("lora-fa", 8)
LORA_64 = cell("lora", 64)
MIB = 2**20
ON_LORA: dict[str, Any] = {"of": {"method": "lora"}}
AGAINST_LORA: dict[str, Any] = {"of": {"method": "lora-fa"}, "relative_to": {"method": "lora"}}
LESS_LORA: dict[str, Any] = {"of": {"method": "lora-fa"}, "difference_to": {"method": "lora"}}
GROWTH: dict[str, Any] = {"growth_over": "rank"}

FEW = settings(max_examples=30)
sizes = st.integers(1, 2**45)
beyond = st.sampled_from([0, 1, -1])


def held(of_lora: int | None = None, of_fa: int | None = None, of_64: int | None = None) -> list[CellResult]:
    """Results that hold so many bytes; None leaves the cell out."""
    found = [(LORA, of_lora), (LORA_FA, of_fa), (LORA_64, of_64)]
    return [result(each, activation_bytes=size) for each, size in found if size is not None]


def outcomes(of: list[CellResult], claim: dict[str, Any], bound: Any) -> dict[str, Item]:
    """The item of a claim with this bound as each kind of bound."""
    return {key: only(judged({**claim, key: bound}, of=of))[1] for key in ("at_most", "at_least", "equals")}


def check_bounds(items: dict[str, Item], off_by: int) -> None:
    """Of a number that is so many bytes off its bound: which kinds of bound it fails, and what is said."""
    failing = {0: set(), 1: {"at_most", "equals"}, -1: {"at_least", "equals"}}[off_by]
    assert {key for key, item in items.items() if item.state == "fail"} == failing
    for key, item in items.items():
        assert item.word == ("fails" if key in failing else "holds")
        assert bool(item.note) == (key in failing)
        assert item.measured


@FEW
@given(sizes, beyond)
def test_a_value_holds_at_the_bound_and_fails_a_byte_beyond(bound, off_by):
    items = outcomes(held(bound + off_by), ON_LORA, bound)
    check_bounds(items, off_by)
    assert {item.value for item in items.values()} == {bound + off_by}
    assert {item.note for item in items.values()} <= {"", "1 B too much", "1 B too little"}


@FEW
@given(st.integers(1, 2**38), st.integers(1, 200), beyond)
def test_a_ratio_holds_at_the_bound_and_fails_a_byte_beyond(hundredth, percent, off_by):
    items = outcomes(held(100 * hundredth, percent * hundredth + off_by), AGAINST_LORA, f"{percent} %")
    check_bounds(items, off_by)
    assert {item.note for item in items.values()} <= {"", "1 B too much", "1 B too little"}


@FEW
@given(sizes, st.integers(-(2**40), 2**40), beyond)
def test_a_difference_holds_at_the_bound_and_fails_a_byte_beyond(size, bound, off_by):
    items = outcomes(held(size, size + bound + off_by), LESS_LORA, bound)
    check_bounds(items, off_by)
    assert {item.value for item in items.values()} == {bound + off_by}
    assert {item.note for item in items.values()} <= {"", "1 B too much", "1 B too little"}


@FEW
@given(sizes, st.integers(-(2**30), 2**30), beyond)
def test_growth_holds_at_the_bound_and_fails_a_byte_beyond(size, per_rank, off_by):
    grown = size + per_rank * (64 - 8) + off_by
    items = outcomes(held(size, of_64=grown), GROWTH, per_rank)
    check_bounds(items, off_by)
    # A 56th of a byte.
    assert {item.note for item in items.values()} <= {
        "",
        "0.0179 B per rank too much",
        "0.0179 B per rank too little",
    }


@pytest.mark.parametrize(("tolerance", "most"), [("1 KiB", 101 * 1024), ("1 %", 101 * 1024), (0, 100 * 1024)])
def test_within_the_tolerance_it_holds(tolerance, most):
    claim = {**ON_LORA, "at_most": "100 KiB", "tolerance": tolerance}
    assert only(judged(claim, of=held(most)))[1].state == "pass"
    item = only(judged(claim, of=held(most + 1)))[1]
    assert item.state == "fail"
    assert item.note == ("1 B too much" if tolerance == 0 else "1.001 KiB (1,025 B) too much")


OK = {"activation_bytes": 5, "step_ms_median": 7.5}
OOM = {"status": "oom", "failed_phase": "backward", "message": "tried to allocate 2.00 GiB"}
UNKNOWN = [
    (result(LORA, **OOM), "activation_bytes", "out of memory in backward"),
    (result(LORA, **OOM, activation_bytes=1), "activation_bytes", "out of memory in backward"),
    (result(LORA, status="error", message="it broke"), "activation_bytes", "error: it broke"),
    (result(LORA, status="timeout", message="after 3 s"), "activation_bytes", "timeout: after 3 s"),
    (result(LORA, status="skipped", message="why"), "activation_bytes", "skipped: why"),
    (result(LORA, status="error", message="it broke"), "fits", "error: it broke"),
    (result(LORA), "activation_bytes", "activation_bytes is not known on this device"),
    (result(LORA, activation_bytes=None), "activation_bytes", "activation_bytes is not known"),
    (result(LORA, activation_bytes=float("nan")), "activation_bytes", "activation_bytes is not known"),
    (result(LORA, activation_bytes=float("inf")), "activation_bytes", "activation_bytes is not known"),
    (result(LORA, activation_bytes="5"), "activation_bytes", "activation_bytes is not known"),
    (result(LORA, activation_bytes=5), "step_ms_median", "the twin has no clock: judge it on a GPU"),
    (result(LORA, activation_bytes=5), "energy_j_per_token", "the twin has no clock: judge it on a GPU"),
    (result(LORA, activation_bytes=5), "mfu", "mfu is not known on this device"),
    (result(cell("lora", device="cpu")), "step_ms_median", "step_ms_median is not known on this device"),
    (None, "activation_bytes", "not measured"),
    (None, "fits", "not measured"),
]


@pytest.mark.parametrize(("record", "metric", "why"), UNKNOWN)
@pytest.mark.parametrize("bound", [{"at_most": 10**9}, {"at_least": 0}])
def test_what_has_no_value_is_not_judged(record, metric, why, bound):
    of, missing = ([], [LORA]) if record is None else ([record], [])
    finding, item = only(judged({"metric": metric, **bound}, of=of, missing=missing))
    assert (finding.state, finding.word) == ("unknown", "cannot be judged")
    assert (item.state, item.word, item.measured, item.value) == ("unknown", "cannot be judged", "", None)
    assert item.note.startswith(why)
    assert item.expected
    assert finding.culprits == ()
    assert finding.culprits_of == finding.culprits_title == ""


@pytest.mark.parametrize(
    ("record", "metric", "why"), [each for each in UNKNOWN if each[0] is None or each[0].cell == LORA]
)
@pytest.mark.parametrize("claim", [AGAINST_LORA, LESS_LORA])
@pytest.mark.parametrize("swapped", [False, True])
def test_no_ratio_or_difference_is_made_of_what_has_no_value(record, metric, why, claim, swapped):
    known = result(LORA_FA, **OK, energy_j_per_token=1, mfu=0.5)
    of, missing = ([known], [LORA]) if record is None else ([known, record], [])
    rule, reference = (
        ({"method": "lora"}, {"method": "lora-fa"})
        if swapped
        else ({"method": "lora-fa"}, {"method": "lora"})
    )
    keys = {"of": rule, "relative_to" if "relative_to" in claim else "difference_to": reference}
    finding, item = only(judged({**keys, "metric": metric, "at_most": 10**9}, of=of, missing=missing))
    assert finding.state == item.state == "unknown"
    assert item.value is None
    assert item.note.startswith(f"{LORA.label}: {why}"), "it names the one of the two"


def test_growth_between_a_cell_that_fits_and_one_that_does_not_is_not_judged():
    of = [*held(5), result(LORA_64, **OOM)]
    item = only(judged({**GROWTH, "at_most": 10**9}, of=of))[1]
    assert item.state == "unknown"
    assert item.note == f"{LORA_64.label}: out of memory in backward"


@pytest.mark.parametrize("value", [0, 5])
def test_nothing_is_so_many_times_nothing(value):
    item = only(judged({**AGAINST_LORA, "at_most": 10**9}, of=held(0, value)))[1]
    assert (item.state, item.note) == ("unknown", "what it is compared with is 0")
    assert only(judged({**LESS_LORA, "at_most": 5}, of=held(0, value)))[1].state == "pass"
    assert only(judged({**AGAINST_LORA, "equals": 0}, of=held(5, 0)))[1].state == "pass"


@pytest.mark.parametrize(
    ("status", "bound", "state"),
    [
        ("ok", {"equals": True}, "pass"),
        ("ok", {"equals": False}, "fail"),
        ("oom", {"equals": True}, "fail"),
        ("oom", {"equals": 0}, "pass"),
        ("oom", {"at_most": 0}, "pass"),
        ("ok", {"at_least": 1}, "pass"),
        ("timeout", {"equals": False}, "unknown"),
    ],
)
def test_whether_it_fits(status, bound, state):
    assert only(judged({"metric": "fits", **bound}, of=[result(LORA, status=status)]))[0].state == state


def test_fits_where_the_other_does_not():
    of = [result(LORA_FA, **OK), result(LORA, **OOM)]
    assert only(judged({**LESS_LORA, "metric": "fits", "equals": 1}, of=of))[1].state == "pass"
    item = only(judged({**AGAINST_LORA, "metric": "fits", "at_least": 1}, of=of))[1]
    assert (item.state, item.note) == ("unknown", "what it is compared with is 0")


def test_with_some_items_unknown_it_is_no_pass_and_with_one_failing_it_fails():
    of = [*held(5), result(LORA_64, **OOM)]
    (finding,) = judged({"at_most": 5}, of=of)
    assert [item.state for item in finding.items] == ["pass", "unknown"]
    assert (finding.state, finding.word) == ("unknown", "cannot be judged")
    (finding,) = judged({"at_most": 4}, of=of)
    assert [item.state for item in finding.items] == ["fail", "unknown"]
    assert (finding.state, finding.word) == ("fail", "fails")


def test_without_a_baseline_nothing_that_needs_it_is_judged():
    finding, item = only(judged({"at_most": "baseline"}, of=held(5)))
    assert finding.state == "unknown"
    assert item.note == "there is no baseline yet; --update-baseline writes one"
    assert item.expected == "≤ the baseline"


def told(finding: Finding) -> list[tuple[str, str, str, str]]:
    return [(item.what, item.measured, item.expected, item.note) for item in finding.items]


def test_what_is_told_of_a_value():
    (finding,) = judged({**ON_LORA, "at_most": "1 MiB", "source": "a paper"}, of=held(3 * MIB))
    assert finding.about == "activation_bytes of method lora ≤ 1.000 MiB"
    assert finding.source == "a paper"
    assert told(finding) == [(LORA.label, "3.000 MiB", "≤ 1.000 MiB", "2.000 MiB (2,097,152 B) too much")]


def test_what_is_told_of_a_ratio():
    (finding,) = judged({**AGAINST_LORA, "at_most": "50 %"}, of=held(4 * MIB, 3 * MIB))
    assert finding.about == "activation_bytes of method lora-fa relative to method lora ≤ 0.5"
    assert told(finding) == [
        (
            f"{LORA_FA.label} against {LORA.label}",
            "0.75 (3.000 MiB against 4.000 MiB)",
            "≤ 0.5",
            "1.000 MiB (1,048,576 B) too much",
        )
    ]


def test_all_that_a_rule_names_is_told_and_there_are_no_parts_of_a_flop():
    rule = {"of": {"method": "lora-fa", "rank": 8}, "relative_to": {"method": "lora", "rank": 8}}
    (finding,) = judged({**rule, "at_most": 1}, of=held(4, 3))
    assert finding.about.startswith(
        "activation_bytes of method lora-fa, rank 8 relative to method lora, rank 8"
    )
    item = only(judged({"metric": "flops_step", "at_most": 1.6}, of=[result(LORA, flops_step=3)]))[1]
    assert item.note == "1 FLOP too much"


def test_what_is_told_of_a_difference_and_of_growth():
    (finding,) = judged({**LESS_LORA, "at_least": 0}, of=held(4 * MIB, 3 * MIB))
    assert finding.about == "activation_bytes of method lora-fa less that of method lora ≥ 0 B"
    assert told(finding)[0][1:] == ("-1.000 MiB", "≥ 0 B", "1.000 MiB (1,048,576 B) too little")
    (finding,) = judged({**GROWTH, "at_most": "1 KiB"}, of=held(0, of_64=2 * 1024 * 56))
    assert finding.about == "activation_bytes of every cell, growth per rank ≤ 1.000 KiB"
    assert told(finding) == [
        (
            f"{LORA.label}, rank 8 to 64",
            "2.000 KiB per rank",
            "≤ 1.000 KiB per rank",
            "1.000 KiB (1,024 B) per rank too much",
        )
    ]


def test_what_is_told_of_other_units():
    on_cuda = cell("lora", device="cuda")
    of = [result(on_cuda, step_ms_median=7.5, params_trainable=12000)]
    item = only(judged({"metric": "step_ms_median", "at_most": "7 ms"}, of=of))[1]
    assert (item.measured, item.note) == ("7.5 ms", "0.5 ms too much")
    item = only(judged({"metric": "params_trainable", "at_least": 13000}, of=of))[1]
    assert (item.measured, item.note) == ("12,000 parameters", "1,000 parameters too little")


@pytest.mark.parametrize("other", [1, 10, 1000])
def test_what_fails_by_less_than_a_byte_is_not_told_as_nothing(other):
    item = only(judged({**AGAINST_LORA, "at_most": 0.9999}, of=held(other, other)))[1]
    assert item.note == "1 B too much"
    item = only(judged({**ON_LORA, "at_most": 4.75}, of=held(5)))[1]
    assert item.note == "1 B too much"


def test_a_finding_says_where_its_claim_stands_and_which_metric_it_is_of():
    of = [result(LORA, activation_bytes=1, saved_bytes=2)]
    first, second, third = judged(
        {"at_most": 5}, {"metric": ["activation_bytes", "saved_bytes"], "at_most": 1}, of=of
    )
    assert (first.name, first.file, first.line) == ("claim 0", "s.yaml", 6)
    assert (second.name, second.line) == ("claim 1: activation_bytes", 9)
    assert (third.name, third.line) == ("claim 1: saved_bytes", 9)
    assert [each.state for each in (first, second, third)] == ["pass", "pass", "fail"]


def test_cells_that_look_alike_are_told_apart():
    twins = [cell("lora", 8, dropout=dropout) for dropout in (0.0, 0.1)]
    (finding,) = judged({"at_most": 5}, of=[result(each, activation_bytes=1) for each in twins])
    assert [item.what for item in finding.items] == [f"{LORA.label} dropout=0.0", f"{LORA.label} dropout=0.1"]


def test_growth_says_which_cells_had_no_neighbour():
    full = cell("full-ft")
    (finding,) = judged(
        {**GROWTH, "at_most": "1 MiB"},
        of=[result(each, activation_bytes=5) for each in (cell(rank=4), cell(rank=8), full)],
    )
    assert finding.state == "pass"
    assert finding.notes == (f"1 cell without a neighbour along rank, not judged: {full.label}",)
    for form in (terminal, markdown, junit, json_report):
        assert "1 cell without a neighbour along rank" in form([Judgement("mine", (finding,), 0)])
