from __future__ import annotations

from pathlib import Path
from typing import Any

from learned_runs import GIB, run_rows, write_runs

from lorafa_prof.concluding.learned import learned_conclusions
from lorafa_prof.quality.group import groups_of
from lorafa_prof.quality.read import read_learning


def told(out: Path, *runs: list[dict[str, Any]]) -> list[str]:
    return [each.text for each in learned_conclusions(groups_of(read_learning(write_runs(out, *runs))))]


def seeds(method: str, *scores: float, **other: Any) -> list[list[dict[str, Any]]]:
    return [
        run_rows(score, method=method, train_seed=seed, draw_seed=seed, **other)
        for seed, score in enumerate(scores)
    ]


def test_a_difference_that_seeds_bear_out(tmp_path: Path) -> None:
    lora = seeds("lora", 0.70, 0.71, 0.72, peak=4 * GIB, seconds=100)
    mine = seeds("lora-fa", 0.60, 0.612, 0.618, peak=3 * GIB, seconds=110)
    assert told(tmp_path, *lora, *mine) == [
        "On sst2, lora-fa scores 10.00 points less than lora (-10.50 to -9.50 with 95 % confidence over "
        "3 seeds). Its peak while training is 25.0 % lower and it trains for 10.0 % more time. This is at "
        "equal settings.",
        "On sst2, the best of 2 cells is lora with accuracy 71.00 of 100 on the test split at learning rate "
        "0.0001, over 3 seeds.",
    ]


def test_a_difference_that_may_be_chance_is_said_to_be(tmp_path: Path) -> None:
    first, *_ = told(tmp_path / "some", *seeds("lora", 0.7, 0.6), *seeds("lora-fa", 0.6, 0.71))
    assert "over 2 seeds, so that this may be chance)" in first
    first, *_ = told(tmp_path / "one", *seeds("lora", 0.7), *seeds("lora-fa", 0.6))
    assert "10.00 points less than lora (one seed, which does not tell it from chance). Its peak" in first


def test_what_has_no_score_is_the_best_of_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, run_rows(status="diverged")) == []
