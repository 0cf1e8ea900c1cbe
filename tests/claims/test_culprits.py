"""Which tensors a failing claim shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from claimed import cell, checks, judged, only, result, scenario
from stored import storage

from lorafa_prof.cell import Cell
from lorafa_prof.claims.baseline import Baseline, made_baseline
from lorafa_prof.claims.checks import checks_of
from lorafa_prof.claims.finding import Finding
from lorafa_prof.claims.judge import judge_claims
from lorafa_prof.results.record import CellResult

LORA, LORA_FA = cell("lora", 8), cell("lora-fa", 8)
KEPT: dict[str, Any] = {"metric": "peak_allocated_bytes", "equals": "baseline"}
AGAINST_LORA: dict[str, Any] = {
    "metric": "peak_allocated_bytes",
    "of": {"method": "lora-fa"},
    "relative_to": {"method": "lora"},
}
LESS_LORA = {key: rule for key, rule in AGAINST_LORA.items() if key != "relative_to"} | {
    "difference_to": {"method": "lora"}
}

SMALL, LARGE = storage("layers.0.norm", 100, kind="norm"), storage("layers.0.q_proj", 800)


def record(of: Cell = LORA, saved: Sequence[dict[str, Any]] | None = (SMALL,), **row: Any) -> CellResult:
    """Holds what it `saved`, and needs 1000 bytes unless said otherwise."""
    return result(of, storages=saved, **{"peak_allocated_bytes": 1000, "weights_bytes": 500, **row})


def baseline(*of: CellResult) -> Baseline:
    wanted = checks(
        {**KEPT, "metric": ["peak_allocated_bytes", "activation_bytes"]}, of=[each.cell for each in of]
    )
    return made_baseline(wanted, {each.cell.cell_id: each for each in of})


BEFORE = baseline(record(saved=[SMALL, LARGE], activation_bytes=900))


def blamed(finding: Finding) -> list[tuple[str, int]]:
    return [(change.key.module or change.key.kind, change.delta_bytes) for change in finding.culprits]


def test_against_the_baseline_what_grew_comes_first():
    now = [storage("layers.0.q_proj", 900), storage("layers.1.k_proj", 2000)]
    finding, item = only(judged(KEPT, of=[record(saved=now, peak_allocated_bytes=3000)], baseline=BEFORE))
    assert finding.culprits_title == f"what {LORA.label} holds more than in the baseline"
    assert finding.culprits_of == item.what
    assert blamed(finding) == [
        ("layers.*.k_proj", 2000),
        ("layers.*.q_proj", 900),
        ("layers.*.norm", -100),
        ("layers.*.q_proj", -800),
    ]


def test_against_the_baseline_what_shrank_comes_first_where_it_is_too_little():
    finding, _ = only(judged(KEPT, of=[record(saved=[], peak_allocated_bytes=5)], baseline=BEFORE))
    assert finding.culprits_title == f"what {LORA.label} holds less than in the baseline"
    assert blamed(finding) == [("layers.*.q_proj", -800), ("layers.*.norm", -100)]


@pytest.mark.parametrize("saved", [[SMALL, LARGE], [SMALL], [LARGE]])
def test_where_nothing_more_is_held_what_is_more_is_temporary(saved):
    finding, _ = only(judged(KEPT, of=[record(saved=saved, peak_allocated_bytes=1001)], baseline=BEFORE))
    assert (
        finding.culprits_title
        == f"{LORA.label} holds nothing more than in the baseline: what differs is temporary"
    )
    assert finding.culprits == ()
    assert finding.culprits_of


def test_where_nothing_less_is_held_what_is_less_was_temporary():
    now = record(saved=[SMALL, LARGE], peak_allocated_bytes=999)
    assert (
        "holds nothing less than in the baseline" in judged(KEPT, of=[now], baseline=BEFORE)[0].culprits_title
    )


def test_a_bound_that_is_not_the_baselines_is_explained_by_it_all_the_same():
    claim = {"metric": "peak_allocated_bytes", "at_most": 1500}
    more = record(saved=[SMALL, LARGE, storage("head", 3000)], peak_allocated_bytes=4000)
    (finding,) = judged(claim, of=[more], baseline=BEFORE)
    assert blamed(finding) == [("head", 3000)]
    assert finding.culprits_title == f"what {LORA.label} holds more than in the baseline"


def test_and_by_all_that_is_held_where_the_baseline_was_no_better():
    claim = {"metric": "peak_allocated_bytes", "at_most": 500}
    (finding,) = judged(claim, of=[record(saved=[SMALL, LARGE])], baseline=BEFORE)
    assert finding.culprits_title == f"the largest tensors that {LORA.label} holds"
    assert blamed(finding) == [("layers.*.q_proj", 800), ("weights", 500), ("layers.*.norm", 100)]


def test_between_two_cells_what_the_one_holds_more_than_the_other():
    of = [
        record(LORA, [SMALL, storage("layers.0.k_proj", 70)]),
        record(LORA_FA, [SMALL, LARGE], peak_allocated_bytes=1730, weights_bytes=520),
    ]
    finding, _ = only(judged({**AGAINST_LORA, "equals": 1}, of=of))
    assert finding.culprits_title == f"what {LORA_FA.label} holds more than {LORA.label}"
    assert blamed(finding) == [("layers.*.q_proj", 800), ("weights", 20), ("layers.*.k_proj", -70)]


def test_between_two_cells_what_the_one_holds_less():
    of = [record(LORA, [SMALL, LARGE]), record(LORA_FA, [SMALL], peak_allocated_bytes=200)]
    for claim in (
        {**AGAINST_LORA, "equals": 1},
        {**AGAINST_LORA, "between": [0.3, 0.8]},
        {**LESS_LORA, "at_least": 0},
    ):
        finding, _ = only(judged(claim, of=of))
        assert finding.culprits_title == f"what {LORA_FA.label} holds less than {LORA.label}"
        assert blamed(finding) == [("layers.*.q_proj", -800)]


@pytest.mark.parametrize("claim", [{**AGAINST_LORA, "at_most": 0.85}, {**LESS_LORA, "at_most": "-1 B"}])
def test_where_the_one_should_hold_less_all_that_it_holds_is_shown(claim):
    of = [record(LORA, [SMALL, LARGE]), record(LORA_FA, [LARGE])]
    finding, _ = only(judged(claim, of=of))
    assert finding.culprits_title == f"the largest tensors that {LORA_FA.label} holds"
    assert blamed(finding) == [("layers.*.q_proj", 800), ("weights", 500)]


@pytest.mark.parametrize("claim", [{**AGAINST_LORA, "at_most": 1}, {**LESS_LORA, "at_most": 0}])
def test_two_cells_that_hold_the_same_differ_in_what_is_temporary(claim):
    of = [record(LORA), record(LORA_FA, peak_allocated_bytes=1001)]
    finding, _ = only(judged(claim, of=of))
    assert finding.culprits_title == (
        f"{LORA_FA.label} holds nothing more than {LORA.label}: what differs is temporary"
    )


def test_growth_is_explained_by_what_the_larger_one_holds_more():
    more = cell("lora", 64)
    of = [record(LORA), record(more, [SMALL, LARGE], peak_allocated_bytes=9000)]
    finding, _ = only(judged({"metric": "peak_allocated_bytes", "growth_over": "rank", "at_most": 1}, of=of))
    assert finding.culprits_title == f"what {more.label} holds more than {LORA.label}"
    assert blamed(finding) == [("layers.*.q_proj", 800)]


@pytest.mark.parametrize("metric", ["activation_bytes", "saved_bytes"])
def test_what_forward_holds_is_not_explained_by_weights(metric):
    of = [record(saved=[LARGE], optimizer_bytes=9999, **{metric: 800})]
    (finding,) = judged({"metric": metric, "at_most": 700}, of=of)
    assert blamed(finding) == [("layers.*.q_proj", 800)]
    more = record(saved=[SMALL, LARGE], activation_bytes=901, weights_bytes=9999)
    (finding,) = judged({"metric": "activation_bytes", "equals": "baseline"}, of=[more], baseline=BEFORE)
    assert "holds nothing more than in the baseline" in finding.culprits_title


def test_the_item_that_is_furthest_beyond_its_bound_is_explained():
    cells = [cell("lora", rank) for rank in (4, 8, 16)]
    of = [
        record(each, [storage(f"m{index}", size)], peak_allocated_bytes=size)
        for index, (each, size) in enumerate(zip(cells, (101, 900, 300), strict=True))
    ]
    (finding,) = judged({"metric": "peak_allocated_bytes", "at_most": 100}, of=of)
    assert finding.culprits_of == cells[1].label
    assert ("m1", 900) in blamed(finding)
    # A tenth beyond a small bound is more than a hundredth beyond a large one, though it is fewer bytes.
    then = baseline(
        *(
            record(each, [], peak_allocated_bytes=size, activation_bytes=0)
            for each, size in zip(cells, (10, 10_000, 10), strict=True)
        )
    )
    now = [
        record(each, [storage("new", 2)], peak_allocated_bytes=size)
        for each, size in zip(cells, (10, 10_100, 11), strict=True)
    ]
    (finding,) = judged(KEPT, of=now, baseline=then)
    assert finding.culprits_of == cells[2].label


def test_the_furthest_may_be_too_little():
    of = [
        record(LORA, [SMALL], peak_allocated_bytes=120),
        record(LORA_FA, [LARGE], peak_allocated_bytes=10),
    ]
    (finding,) = judged({"metric": "peak_allocated_bytes", "equals": 100}, of=of)
    assert finding.culprits_of == LORA_FA.label


@pytest.mark.parametrize("kind", ["weights", "gradients", "optimizer"])
def test_what_does_not_change_in_forward_is_explained_by_itself_alone(kind):
    of = [record(saved=[LARGE], weights_bytes=7, gradients_bytes=7, optimizer_bytes=7)]
    (finding,) = judged({"metric": f"{kind}_bytes", "at_most": 6}, of=of)
    assert blamed(finding) == [(kind, 7)]


@pytest.mark.parametrize(
    ("claim", "of"),
    [
        ({"metric": "params_trainable", "at_most": 1}, [record(params_trainable=5)]),
        ({"metric": "host_rss_bytes", "at_most": 1}, [record(host_rss_bytes=5)]),
        ({"metric": "peak_allocated_bytes", "at_most": 1}, [record(saved=None)]),
        ({**AGAINST_LORA, "equals": 1}, [record(saved=None), record(LORA_FA, peak_allocated_bytes=2000)]),
    ],
)
def test_where_no_tensors_were_recorded_or_explain_it_none_are_named(claim, of):
    (finding,) = judged(claim, of=of)
    assert finding.state == "fail"
    assert (finding.culprits, finding.culprits_of, finding.culprits_title) == ((), "", "")


def test_a_baseline_without_the_cells_tensors_explains_nothing():
    (finding,) = judged(
        KEPT,
        of=[record(peak_allocated_bytes=1001)],
        baseline=baseline(record(saved=None, activation_bytes=1, weights_bytes=None)),
    )
    assert finding.culprits_title == f"the largest tensors that {LORA.label} holds"


def test_details_are_loaded_of_what_fails_alone():
    loaded = scenario(
        {"metric": "peak_allocated_bytes", "of": {"method": "lora"}, "at_most": 999},
        {"metric": "peak_allocated_bytes", "at_least": 1},
    )
    of = {each.cell.cell_id: each for each in (record(), record(LORA_FA))}
    asked: list[str] = []

    def load(cell_id: str) -> CellResult:
        asked.append(cell_id)
        return of[cell_id]

    judge_claims(loaded, checks_of(loaded, [LORA, LORA_FA]), of, {each: each for each in of}, None, load)
    assert asked == [LORA.cell_id]
