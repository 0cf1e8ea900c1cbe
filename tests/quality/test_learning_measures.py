"""Means over seeds, pairs of seeds, the front, and who has as much memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learned_runs import GIB, run_rows, write_runs

from lorafa_prof.quality.group import Group, groups_of
from lorafa_prof.quality.measures import EVAL_LOSS, QUALITY, TRAIN_SECONDS, mean_of, pairs_by_seed
from lorafa_prof.quality.read import read_learning
from lorafa_prof.quality.weighing import front, nearest_in_memory


def groups(tmp_path: Path, *runs: list[dict[str, Any]]) -> list[Group]:
    return groups_of(read_learning(write_runs(tmp_path, *runs)))


def test_quality_is_the_test_metric_in_points_at_the_chosen_rate(tmp_path: Path) -> None:
    (group,) = groups(
        tmp_path,
        *(run_rows(0.5 + seed / 100, validation=0.9, train_seed=seed, loss=0.2) for seed in (0, 1, 2)),
        run_rows(0.99, validation=0.1, learning_rate=3e-4),
    )
    quality = mean_of(group, QUALITY)
    assert (quality.mean, quality.count) == (pytest.approx(51.0), 3)
    assert (quality.low, quality.high) == pytest.approx((51 - 2.484138, 51 + 2.484138), abs=1e-5)
    assert mean_of(group, EVAL_LOSS).mean == pytest.approx(0.2)
    assert mean_of(group, TRAIN_SECONDS).mean == 50.0


def test_pairs_are_of_seeds_that_both_have(tmp_path: Path) -> None:
    lora, fa = groups(
        tmp_path,
        *(run_rows(0.5 + seed / 10, train_seed=seed) for seed in (0, 1, 2)),
        *(run_rows(0.4 + seed / 10, train_seed=seed, method="lora-fa") for seed in (2, 1, 3)),
    )
    assert pairs_by_seed(fa, lora, QUALITY) == [pytest.approx((50.0, 60.0)), pytest.approx((60.0, 70.0))]


def test_draws_of_a_are_meant_over_where_the_other_has_none(tmp_path: Path) -> None:
    full, fa = groups(
        tmp_path,
        *(run_rows(0.9, train_seed=seed, method="full-ft") for seed in (0, 1)),
        *(
            run_rows(0.5 + draw / 10, train_seed=seed, draw_seed=draw, method="lora-fa")
            for seed in (0, 1)
            for draw in (0, 2)
        ),
    )
    assert pairs_by_seed(full, fa, QUALITY) == [pytest.approx((90.0, 60.0))] * 2
    assert len(pairs_by_seed(fa, fa, QUALITY)) == 4


def test_pairs_are_evaluated_on_one_split(tmp_path: Path) -> None:
    """One was tested and one was not: both are judged by the validation split."""
    tested, other = groups(
        tmp_path,
        run_rows(0.9, validation=0.7),
        run_rows(0.8, validation=0.6, rank=16, task="b", tested=False),
    )
    assert (tested.split, other.split) == ("test", "validation")
    assert pairs_by_seed(tested, other, QUALITY) == [pytest.approx((70.0, 60.0))]


def test_the_front_has_whom_nobody_beats() -> None:
    points = [(2, 5), (1, 3), (3, 5), (2, 4), (1, 3), (4, 6)]
    assert front(points, lambda p: p[0], lambda p: p[1]) == [(1, 3), (2, 5), (4, 6)]


def test_the_nearest_in_memory_is_found_whatever_its_rank(tmp_path: Path) -> None:
    fa, *loras = groups(
        tmp_path,
        run_rows(method="lora-fa", rank=64, peak=100 * GIB),
        run_rows(rank=4, peak=90 * GIB),
        run_rows(rank=8, peak=103 * GIB),
        run_rows(rank=16, peak=140 * GIB),
    )
    nearest, apart = nearest_in_memory(fa, loras)
    assert (nearest.settings["rank"], apart) == (8, pytest.approx(0.03))
    assert nearest_in_memory(fa, []) is None
