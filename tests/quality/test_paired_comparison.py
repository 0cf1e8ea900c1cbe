"""Methods against each other: at equal settings, and at equal memory, by runs of the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learned_runs import run_rows, write_runs

from lorafa_prof.quality.comparison import Comparison, comparisons
from lorafa_prof.quality.group import groups_of
from lorafa_prof.quality.read import read_learning


def compared(tmp_path: Path, *runs: list[dict[str, Any]]) -> dict[tuple[str, str], Comparison]:
    """By the ids of the cells, without that of the model."""
    found = comparisons(groups_of(read_learning(write_runs(tmp_path, *runs))))
    return {
        (each.group.cell_id.partition("_")[2], each.other.cell_id.partition("_")[2]): each for each in found
    }


def test_methods_are_compared_at_equal_settings_and_at_equal_memory(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        *(run_rows(0.6 + seed / 10, train_seed=seed, rank=8, peak=100) for seed in (0, 1, 2)),
        *(run_rows(0.1, train_seed=seed, rank=4, peak=62) for seed in (0, 1, 2)),
        *(
            run_rows(0.59 + seed / 10, train_seed=seed, method="lora-fa", peak=60, seconds=40)
            for seed in (0, 1, 2)
        ),
        run_rows(0.5, method="lora-fa-uncorrected", peak=59),
        run_rows(0.7, method="full-ft", peak=300),
    )
    assert {pair: each.at for pair, each in found.items()} == {
        ("lora-fa_r8", "lora_r8"): "equal settings",
        ("lora-fa_r8", "lora_r4"): "equal memory",
        ("lora-fa_r8", "lora-fa-uncorrected_r8"): "equal settings",
        ("lora-fa_r8", "full-ft"): "equal settings",
        ("lora_r8", "full-ft"): "equal settings",
        ("lora_r4", "full-ft"): "equal settings",
    }
    against_lora = found["lora-fa_r8", "lora_r8"]
    quality = against_lora.quality
    assert (quality.mean, quality.low, quality.high) == pytest.approx((-1, -1, -1))
    assert (against_lora.peak, against_lora.seconds) == (0.6, 0.8)
    assert found["lora-fa_r8", "full-ft"].quality.count == 1


def test_what_differs_otherwise_or_has_two_counterparts_is_not_compared(tmp_path: Path) -> None:
    far = {"peak": 2**40}
    assert not compared(tmp_path, run_rows(method="lora-fa"), run_rows(batch=16, **far))
    assert not compared(tmp_path, run_rows(method="lora-fa"), run_rows(task="boolq", **far))
    alpha = [run_rows(cell_id=f"lora-alpha{alpha}", **far) for alpha in (8, 16)]
    assert not compared(tmp_path, run_rows(method="lora-fa"), *alpha)
