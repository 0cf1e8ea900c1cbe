"""Claims on learning runs: the interval over seeds decides, and what it does not decide is never a pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from claimed import scenario
from gates import HEAD
from learned_runs import GIB, run_rows, write_runs

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.claims.gate import Gate, gate_of, judged
from lorafa_prof.cli.main import main
from lorafa_prof.errors import ScenarioError
from lorafa_prof.results.store import Store

#: HEAD has lora and lora-fa, each at rank 4 and 8.
FA_8: dict[str, Any] = {"of": {"method": "lora-fa", "rank": 8}, "metric": "quality"}
POINTS: dict[str, Any] = {**FA_8, "difference_to": {"method": "lora"}, "at_least": -1}
LEARNING_KEYS = {"at_equal": "peak_allocated_bytes", "confidence": 0.9, "seeds": 3}


def gate(*claims: dict[str, Any]) -> Gate:
    return gate_of(scenario(*claims, head=HEAD), None)


def learned(store: Store, of: Gate, runs: dict[tuple[str, int], Sequence[float]], **more: Any) -> None:
    """Write runs of these qualities, one a seed, by method and rank; `peaks` has their memory."""
    peaks = more.pop("peaks", {})
    rows = []
    for plan in of.planned:
        key = (plan.cell.method.name, plan.cell.method.options["rank"])
        for seed, quality in enumerate(runs.get(key, ())):
            rows.append(
                run_rows(
                    quality,
                    cell_id=plan.cell.cell_id,
                    method=key[0],
                    rank=key[1],
                    train_seed=seed,
                    peak=peaks.get(key, GIB),
                    **more,
                )
            )
    write_runs(store.out, *rows)


def outcome(
    store: Store, claim: dict[str, Any], runs: dict[tuple[str, int], Sequence[float]], **more: Any
) -> tuple[Judgement, Finding, Item]:
    of = gate(claim)
    learned(store, of, runs, **more)
    judgement = judged(of, {}, store, None)
    (finding,) = judgement.findings
    return judgement, finding, finding.items[0]


@pytest.mark.parametrize(
    ("qualities", "word", "exit_code"),
    [
        ([0.500, 0.502, 0.501], "holds", 0),  # against 50 points: all of the interval is above -1
        ([0.450, 0.452, 0.451], "fails", 3),
        ([0.489, 0.491, 0.493], "inconclusive", 4),
        ([0.400, 0.600, 0.500], "inconclusive", 4),
    ],
)
def test_the_whole_interval_decides(store: Store, qualities: list[float], word: str, exit_code: int) -> None:
    judgement, finding, item = outcome(store, POINTS, {("lora-fa", 8): qualities, ("lora", 8): [0.5] * 3})
    assert (item.word, finding.word, judgement.exit_code) == (word, word, exit_code)
    assert item.measured.endswith("3 seeds")
    assert "at learning rates 0.0001 and 0.0001" in item.note


def test_differences_are_paired_by_seed(store: Store) -> None:
    """Seeds differ by 20 points, and the methods of one seed by half of one: that is told."""
    runs = {("lora-fa", 8): [0.398, 0.502, 0.606], ("lora", 8): [0.4, 0.5, 0.6]}
    _, finding, item = outcome(store, POINTS, runs)
    assert (finding.word, item.value) == ("holds", pytest.approx(0.2))
    _, finding, item = outcome(store, {**POINTS, "at_least": "0.5 points"}, runs)
    assert finding.word == "inconclusive"


def test_a_single_seed_is_inconclusive_unless_the_claim_asks_for_no_more(store: Store) -> None:
    runs = {("lora-fa", 8): [0.9], ("lora", 8): [0.5]}
    judgement, finding, item = outcome(store, POINTS, runs)
    assert (finding.word, judgement.exit_code) == ("inconclusive", 4)
    assert item.note.startswith("1 seed: a single one has no interval; `seeds: 1`")
    for quality, word, exit_code in ((0.49, "holds", 0), (0.489, "fails", 3)):
        runs = {("lora-fa", 8): [quality], ("lora", 8): [0.5]}
        judgement, finding, item = outcome(store, {**POINTS, "seeds": 1}, runs)
        assert (finding.word, judgement.exit_code) == (word, exit_code)
        assert item.measured.endswith("points, 1 seed")


def test_fewer_seeds_than_asked_for_are_inconclusive(store: Store) -> None:
    runs = {("lora-fa", 8): [0.9, 0.9], ("lora", 8): [0.5, 0.5, 0.5]}
    _, finding, item = outcome(store, {**POINTS, "seeds": 3}, runs)
    assert (finding.word, item.note.split(";")[0]) == ("inconclusive", "2 seeds: the claim asks for 3")


def test_less_confidence_is_a_narrower_interval(store: Store) -> None:
    runs = {("lora-fa", 8): [0.489, 0.494, 0.499], ("lora", 8): [0.5] * 3}
    assert outcome(store, POINTS, runs)[1].word == "inconclusive"
    assert outcome(store, {**POINTS, "at_least": -1.5, "confidence": 0.8}, runs)[1].word == "holds"


def test_values_and_ratios_are_judged_too(store: Store) -> None:
    runs = {("lora-fa", 8): [0.7, 0.71, 0.72], ("lora", 8): [0.5] * 3}
    assert outcome(store, {**FA_8, "at_least": "68 %"}, runs)[1].word == "holds"
    ratio = {**FA_8, "metric": "train_seconds", "relative_to": {"method": "lora"}, "at_most": "99 %"}
    _, finding, item = outcome(store, ratio, runs)
    assert (finding.word, item.value) == ("fails", 1.0)
    assert item.note.startswith("0.01 too much")
    loss = {**FA_8, "metric": "eval_loss", "between": [0.4, 0.6]}
    assert outcome(store, loss, runs)[1].word == "holds"


def test_at_equal_memory_the_nearest_peak_is_the_partner_whatever_its_rank(store: Store) -> None:
    claim = {**POINTS, "at_equal": "peak_allocated_bytes"}
    runs = {("lora-fa", 8): [0.5] * 3, ("lora", 4): [0.5] * 3, ("lora", 8): [0.9] * 3}
    peaks = {("lora-fa", 8): 100 * GIB, ("lora", 4): 103 * GIB, ("lora", 8): 150 * GIB}
    _, finding, item = outcome(store, claim, runs, peaks=peaks)
    assert finding.word == "holds"
    assert "lora-fa r8" in item.what
    assert "against tiny-llama lora r4" in item.what
    assert "peaks 100.000 GiB and 103.000 GiB" in item.note
    assert finding.about.endswith("less that of method lora at equal peak_allocated_bytes ≥ -1 points")


def test_of_whom_nobody_has_equal_memory_is_noted_and_alone_never_passes(store: Store) -> None:
    runs = {key: [0.5] * 3 for key in (("lora-fa", 4), ("lora-fa", 8), ("lora", 4), ("lora", 8))}
    peaks = {("lora-fa", 4): 50, ("lora-fa", 8): 100, ("lora", 4): 90, ("lora", 8): 150}
    claim = {**POINTS, "of": {"method": "lora-fa"}, "at_equal": "peak_allocated_bytes"}
    judgement, finding, item = outcome(store, claim, runs, peaks=peaks)
    assert (finding.word, judgement.exit_code, len(finding.items)) == ("cannot be judged", 4, 2)
    assert item.note.startswith("nobody has equal memory: tiny-llama lora r4")
    judgement, finding, item = outcome(store, {**claim, "within": 0.2}, runs, peaks=peaks)
    assert (finding.word, judgement.exit_code, len(finding.items)) == ("holds", 0, 1)
    assert "lora-fa r8" in item.what
    assert finding.notes[0].startswith(
        "1 cell with nobody of equal memory, not judged: tiny-llama lora-fa r4"
    )


def test_a_candidate_that_was_not_learned_is_noted(store: Store) -> None:
    claim = {**POINTS, "at_equal": "peak_allocated_bytes"}
    _, finding, item = outcome(store, claim, {("lora-fa", 8): [0.5] * 3, ("lora", 4): [0.5] * 3})
    assert (finding.word, "lora r4" in item.what) == ("holds", True)
    assert finding.notes[0].startswith("not compared with at equal memory: tiny-llama lora r8")
    judgement, finding, item = outcome(store, claim, {("lora-fa", 8): [0.5] * 3})
    assert (finding.word, judgement.exit_code) == ("cannot be judged", 4)
    assert item.note.startswith("nobody to compare it with")


def test_what_was_not_learned_is_not_judged(store: Store) -> None:
    judgement, finding, item = outcome(store, POINTS, {("lora-fa", 8): [0.5] * 3})
    assert (finding.word, judgement.exit_code) == ("cannot be judged", 4)
    assert "lora r8" in item.note
    assert "not learned in" in item.note
    runs = {("lora-fa", 8): [0.5] * 3, ("lora", 8): [0.5] * 3}
    _, finding, item = outcome(store, POINTS, runs, status="diverged")
    assert finding.word == "cannot be judged"
    assert "3 runs diverged at learning rate 0.0001" in item.note


def test_doubts_on_a_choice_of_rates_are_notes_of_the_finding(store: Store) -> None:
    _, finding, item = outcome(
        store, POINTS, {("lora-fa", 8): [0.5] * 3, ("lora", 8): [0.5] * 3}, tested=False
    )
    assert len(finding.notes) == 2
    assert finding.notes[0].endswith("0.0001 is the one learning rate that was tried")
    assert "accuracy of the validation split, which also chose the learning rate" in item.note


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ({**FA_8, "growth_over": "rank", "at_least": 0}, "quality has no growth to be judged"),
        ({**FA_8, "at_least": "baseline"}, "the baseline has no quality"),
        (
            {**FA_8, "at_equal": "peak_allocated_bytes", "at_least": 0},
            "it needs relative_to or difference_to",
        ),
        ({**POINTS, "within": 0.1}, "within says how equal is equal: it needs at_equal"),
        ({**POINTS, **LEARNING_KEYS, "for_each": "rank"}, "at_equal and for_each both say"),
        ({**POINTS, **LEARNING_KEYS, "metric": "peak_allocated_bytes"}, "is of a step, not of learning runs"),
        ({**POINTS, "at_least": "1 GiB"}, "points take points, point, %"),
        ({**POINTS, "at_equal": "rank"}, "at_equal"),
    ],
)
def test_what_a_claim_cannot_ask_is_told_before_anything_is_judged(claim: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError) as error:
        gate(claim)
    assert told in str(error.value)


def test_the_folder_of_learn_is_checked(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a single step measured, twice with the same bytes."""
    of = gate(POINTS)
    runs = {("lora-fa", 8): [0.5, 0.501, 0.502], ("lora", 8): [0.5] * 3}
    twin = of.planned[0].cell.device
    learned(store, of, runs, device=twin, gpu=None)
    cells = [plan.cell.cell_id for plan in of.planned]
    provenance = {"cells": cells, "scenario": of.loaded.document.data}
    (store.out / "provenance.json").write_text(json.dumps(provenance))
    told = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["check", str(store.out)])
        assert ended.value.code == 0
        told.append(capsys.readouterr().out)
    assert "holds" in told[0]
    assert told[0] == told[1]


def test_checking_a_scenario_trains_nothing_and_leaves_the_folder_as_it_is(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    file = store.out.parent / "mine.yaml"
    file.write_text(HEAD + yaml.safe_dump([{"name": "as good", **POINTS}]))
    with pytest.raises(SystemExit) as ended:
        main(["check", str(file), "-o", str(store.out)])
    assert ended.value.code == 4
    assert "`lorafa-prof learn` trains it" in capsys.readouterr().out
    assert [path.name for path in store.out.iterdir() if path.is_file()] == []
