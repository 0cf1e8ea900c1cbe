"""From claims to single checks, and what of a claim makes no sense for the scenario's cells."""

from __future__ import annotations

from typing import Any

import pytest
from claimed import FIRST_LINE, cell, checks, scenario

from lorafa_prof.claims.checks import Check, checks_of
from lorafa_prof.errors import ScenarioError

FULL = cell("full-ft")
LORA, LORA_FA = ([cell(method, rank) for rank in (8, 64)] for method in ("lora", "lora-fa"))
CELLS = [FULL, *LORA, *LORA_FA]
RATIO: dict[str, Any] = {"of": {"method": "lora-fa"}, "relative_to": {"method": "lora"}}
LESS: dict[str, Any] = {"of": {"method": "lora-fa"}, "difference_to": {"method": "lora"}}
SAVED: dict[str, Any] = {"metric": "saved_bytes"}


def refused(*claims: dict[str, Any]) -> str:
    with pytest.raises(ScenarioError) as caught:
        checks(*claims, of=CELLS)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_a_claim_on_values_checks_each_cell_that_it_selects():
    found = checks({"of": {"method": ["lora", "full-ft"]}, "at_most": "1 MiB"}, of=CELLS)
    assert [each.cells for each in found] == [(FULL,), *((each,) for each in LORA)]
    assert {(each.kind, each.metric.name, each.expected.high) for each in found} == {
        ("value", "activation_bytes", 2**20)
    }
    assert len(checks({"at_most": 1}, of=CELLS)) == len(CELLS)


def test_each_metric_of_each_claim_in_their_order():
    found = checks({"metric": ["fits", "saved_bytes"], "equals": 1}, {"at_least": 0}, of=LORA)
    assert [(each.index, each.metric.name, each.cell) for each in found] == [
        *((0, "fits", each) for each in LORA),
        *((0, "saved_bytes", each) for each in LORA),
        *((1, "activation_bytes", each) for each in LORA),
    ]


def test_a_ratio_has_no_unit_a_difference_that_of_its_metric():
    ratios = checks({**RATIO, "at_most": "85 %"}, of=CELLS)
    assert [(each.kind, *each.cells) for each in ratios] == [
        ("ratio", fa, lora) for fa, lora in zip(LORA_FA, LORA, strict=True)
    ]
    assert ratios[0].expected.high == 0.85
    (first, _) = checks({**LESS, "at_most": "-1 MiB"}, of=CELLS)
    assert (first.kind, first.cells, first.expected.high) == ("difference", (LORA_FA[0], LORA[0]), -(2**20))


def test_growth_is_of_the_larger_one_against_the_smaller():
    (lora, lora_fa) = checks({"growth_over": "rank", "at_most": "3 MiB"}, of=[*LORA[::-1], *LORA_FA, FULL])
    assert (lora.kind, lora.axis, lora.cell, lora.other) == ("growth", "rank", LORA[1], LORA[0])
    assert (lora_fa.cell, lora_fa.other) == (LORA_FA[1], LORA_FA[0])
    assert lora.expected.high == 3 * 2**20


# A claim with its name in line 6 and its metric in line 7; the line and key that are at fault; words.
WRONG = [
    (
        {"metric": "activation_byts", "at_most": 1},
        (7, "metric"),
        "unknown metric 'activation_byts' (did you mean 'activation_bytes'?); `lorafa-prof list metrics`",
    ),
    ({"metric": ["fits", "saved"], "at_most": 1}, (9, "metric[1]"), "unknown metric 'saved'"),
    ({"metric": "batch", "at_most": 1}, (7, "metric"), "unknown metric 'batch'"),
    ({"metric": "status", "at_most": 1}, (7, "metric"), "unknown metric 'status'"),
    ({"at_most": "24 ms"}, (8, "at_most"), "unknown unit 'ms'; bytes take B"),
    ({"metric": "step_ms_median", "at_most": "24 MiB"}, (8, "at_most"), "ms take us, ms, s"),
    ({"metric": ["step_ms_median", "saved_bytes"], "at_most": "1 s"}, (10, "at_most"), "bytes take B"),
    ({"metric": "fits", "equals": "1 B"}, (8, "equals"), "unknown unit 'B'"),
    ({**RATIO, "at_most": "24 MiB"}, (12, "at_most"), "a ratio takes %"),
    ({"of": {"method": "lora"}, "between": [3, 2]}, (10, "between"), "the least is more than the most"),
    ({"at_most": 1, "tolerance": -1}, (9, "tolerance"), "a tolerance is not negative"),
    # which cells
    ({"of": {"methd": "lora"}, "at_most": 1}, (9, "of.methd"), "unknown key (did you mean 'method'?)"),
    (
        {"of": {"method": "lora", "rank": 9}, "at_most": 1},
        (10, "of.rank"),
        "no cell has 9 (the nearest",
    ),
    (
        {"of": {"method": ["lora", "lora-af"]}, "at_most": 1},
        (11, "of.method[1]"),
        "no cell has 'lora-af' (did you mean 'lora-fa'?)",
    ),
    (
        {"of": {"gpu": "h100-80g"}, "at_most": 1},
        (9, "of.gpu"),
        "no cell has 'h100-80g' (did",
    ),
    ({"of": {"device": "cdua"}, "at_most": 1}, (9, "of.device"), "no cell has 'cdua'"),
    ({"of": {"rank": "eight"}, "at_most": 1}, (9, "of.rank"), "no cell has 'eight'; they have "),
    ({"of": {"method": 3}, "at_most": 1}, (9, "of.method"), "no cell has 3; they have "),
    (
        {"of": {"config": 3}, "at_most": 1},
        (9, "of.config"),
        "no cell has 3, nor any other value: nothing here is set by this key",
    ),
    (
        {"of": {"method": "lora"}, "relative_to": {"rnk": 8}, "at_most": 1},
        (11, "relative_to.rnk"),
        "unknown key (did you mean 'rank'?)",
    ),
    (
        {"difference_to": {"batc": 8}, "at_most": 1},
        (9, "difference_to.batc"),
        "unknown key (did you mean 'batch'?)",
    ),
    (
        {"of": {"method": "full-ft"}, "relative_to": {"method": "lora"}, "at_most": 1},
        (10, "relative_to"),
        f"{FULL.label} has 2 cells to be compared with, which differ in rank: name it here or in for_each",
    ),
    (
        {"of": {"rank": 8}, "difference_to": {"rank": 8}, "at_most": 1},
        (10, "difference_to"),
        "it selects the very cells that it is compared with",
    ),
    (
        {"of": {"method": "lora-fa", "rank": 64}, "relative_to": {"method": "lora", "rank": 9}, "at_most": 1},
        (13, "relative_to.rank"),
        "no cell has 9 (the nearest",
    ),
    (
        {"difference_to": {"method": "lora"}, "for_each": ["rank", "btch"], "at_most": 1},
        (10, "for_each"),
        "no setting 'btch' (did you mean 'batch'?)",
    ),
    (
        {"across": ["optimiser"], "at_most": "baseline"},
        (8, "across"),
        "no setting 'optimiser' (did you mean 'optimizer'?)",
    ),
    # growth
    ({"growth_over": "rnk", "at_most": 1}, (8, "growth_over"), "no setting 'rnk' (did you mean 'rank'?)"),
    ({"growth_over": "method", "at_most": 1}, (8, "growth_over"), "'method' is no number"),
    (
        {"of": {"rank": 8}, "growth_over": "rank", "at_most": 1},
        (10, "growth_over"),
        "no two of its cells differ in rank alone: growth needs at least two",
    ),
]


@pytest.mark.parametrize(("claim", "place", "words"), WRONG)
def test_what_makes_no_sense_is_one_line_that_names_file_line_and_key(claim, place, words):
    line, key = place
    said = refused(claim)
    assert said.startswith(f"s.yaml:{line}: claims[0].{key}: "), said
    assert words in said


def test_a_partner_with_other_adapters_is_told():
    fa, lora = (
        cell(each, dtype="bf16", adapter_dtype=of) for each, of in (("lora-fa", "bf16"), ("lora", "fp32"))
    )
    with pytest.raises(
        ScenarioError, match=r"closest one differs in adapter_dtype \(bf16 and fp32\)"
    ) as caught:
        checks({**RATIO, "at_most": 1}, of=[fa, lora])
    assert caught.value.key == "claims[0].relative_to"


def test_a_baseline_is_of_values_in_the_unit_of_the_metric():
    (check,) = checks({"at_most": "baseline", "tolerance": "1 KiB"}, of=[FULL])
    assert check.expected.from_baseline
    assert check.expected.slack == 1024


CONTRADICTIONS = [
    ({"at_most": 5}, {"at_least": 6}, "≤ 5 B and ≥ 6 B"),
    ({"at_least": "3 GiB"}, {"between": ["1 GiB", "2 GiB"]}, "≥ 3.000 GiB and 1.000 GiB to 2.000 GiB"),
    ({"equals": 5}, {"equals": 6}, "= 5 B and = 6 B"),
    ({"equals": 5, "tolerance": 1}, {"equals": 8, "tolerance": 1}, "= 5 B ± 1 B and = 8 B ± 1 B"),
    ({**RATIO, "at_most": 0.5}, {**RATIO, "at_least": 0.6}, "≤ 0.5 and ≥ 0.6"),
    ({"growth_over": "rank", "at_most": 1}, {"growth_over": "rank", "at_least": 2}, "≤ 1 B and ≥ 2 B"),
]


@pytest.mark.parametrize(("one", "other", "both"), CONTRADICTIONS)
def test_claims_that_cannot_both_hold_name_each_other(one, other, both):
    filler = {"metric": "saved_bytes", "at_most": 1}
    loaded = scenario(filler, one, filler, other)
    line = loaded.document.lines["claims", 3]
    with pytest.raises(ScenarioError) as caught:
        checks_of(loaded, CELLS)
    said = str(caught.value)
    first = loaded.document.lines["claims", 1]
    assert said.startswith(f"s.yaml:{line}: claims[3]: contradicts the claim 'claim 1' (line {first}): of ")
    assert f"activation_bytes cannot be both {both}" in said
    assert first == FIRST_LINE + 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"at_most": 5}, {"at_least": 5}),
        ({"equals": 5, "tolerance": 1}, {"equals": 7, "tolerance": 1}),
        ({"at_most": 5}, {"at_least": 6, **SAVED}),
        ({"at_most": 5, "of": {"method": "lora"}}, {"at_least": 6, "of": {"method": "lora-fa"}}),
        ({"at_most": 5}, {"growth_over": "rank", "at_least": 6}),
        ({**RATIO, "at_most": 0.5}, {"at_least": 6}),
        ({**RATIO, "at_most": 0.5}, {**LESS, "at_least": 6}),
        ({"at_most": "baseline"}, {"at_least": 6}),
        ({"at_most": "baseline"}, {"at_least": "baseline"}),
    ],
)
def test_claims_that_can_both_hold_or_are_of_different_numbers_are_none(one, other):
    assert checks(one, other, of=CELLS)


def test_an_error_of_the_second_claim_is_told_at_it():
    assert refused({"at_most": 1}, {"of": {"method": "loro"}, "at_most": 1}).startswith(
        "s.yaml:12: claims[1].of.method: no cell has 'loro' (did you mean 'lora'?)"
    )


def test_each_value_of_a_list_has_to_select_something_with_the_rest_of_it():
    said = refused({"of": {"method": ["full-ft", "lora"], "rank": [4, 8]}, "at_most": 1})
    assert said.startswith(
        "s.yaml:10: claims[0].of.method[0]: no cell that the rest of this selects has 'full-ft'"
    )


def test_what_an_override_took_away_may_be_missing_but_no_other_value():
    def checked(option: str, **of: Any) -> list[Check]:
        loaded = scenario({"of": of, "at_most": 1})
        loaded.document.replaced[("model",)] = option
        return checks_of(loaded, CELLS)

    assert checked("--set model=tiny-llama", model=["tiny-llama", "llama-2-7b"])
    with pytest.raises(ScenarioError, match=r"no cell has 'lora-af' \(did you mean 'lora-fa'\?\)"):
        checked("--set model=tiny-llama", method=["lora", "lora-af"])


def test_cells_that_nothing_grows_to_are_known():
    for check in checks({"growth_over": "rank", "at_most": 1}, of=CELLS):
        assert check.alone == (FULL,)


def test_a_cell_of_another_gpu_is_compared_with_only_where_the_claim_names_it():
    here = cell("lora-fa", 8)
    there = cell("lora", 8, device="sim:h200").model_copy(update={"gpu": "h200"})
    with pytest.raises(ScenarioError, match="has no cell to be compared with: the closest one differs in"):
        checks({**RATIO, "at_most": 1}, of=[here, there])
    named = {**RATIO, "relative_to": {"method": "lora", "gpu": "h200"}, "at_most": 1}
    (check,) = checks(named, of=[here, there])
    assert check.cells == (here, there)


@pytest.mark.parametrize("key", ["gpu", "device"])
def test_a_gpu_of_another_machine_may_be_named_as_it_calls_itself(key):
    twin = "sim:" if key == "device" else ""
    names = [f"{twin}NVIDIA H100 80GB HBM3", f"{twin}NVIDIA H200"]
    assert len(checks({"of": {key: names}, "at_most": 1}, of=CELLS)) == len(CELLS)
    with pytest.raises(ScenarioError, match=r"no cell has .*NVIDIA H201"):
        checks({"of": {key: [*names, f"{twin}NVIDIA H201"]}, "at_most": 1}, of=CELLS)
