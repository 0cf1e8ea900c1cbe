"""A group's learning rate is chosen on the validation split, and what is doubtful of the choice is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from learned_runs import run_rows, write_runs

from lorafa_prof.errors import UsageError
from lorafa_prof.quality.group import Group, groups_of
from lorafa_prof.quality.read import read_learning


def groups(tmp_path: Path, *runs: list[dict[str, Any]]) -> list[Group]:
    return groups_of(read_learning(write_runs(tmp_path, *runs)))


def at(rate: float, validation: float | None, **more: Any) -> list[dict[str, Any]]:
    """A run at this rate; its test is best where the validation is worst."""
    return run_rows(
        None if validation is None else 1 - validation, validation=validation, learning_rate=rate, **more
    )


def test_the_rate_is_chosen_by_the_mean_of_validation_and_never_by_the_test(tmp_path: Path) -> None:
    (group,) = groups(
        tmp_path,
        *(at(1e-4, 0.6, train_seed=seed) for seed in (0, 1)),
        at(3e-4, 0.9, train_seed=0),  # the best single run, of a rate that is worse on the whole
        at(3e-4, 0.2, train_seed=1),
        *(at(1e-3, 0.5, train_seed=seed) for seed in (0, 1)),
        *(at(1e-5, 0.5, train_seed=seed) for seed in (0, 1)),
    )
    assert group.chosen.learning_rate == 1e-4
    assert [run.seed for run in group.runs] == [(0, 0), (1, 0)]
    assert (group.chosen_by, group.split, group.notes) == ("accuracy", "test", ())


def test_the_last_evaluation_counts_and_not_the_best(tmp_path: Path) -> None:
    early = at(1e-4, 0.6)
    early[1]["metric"] = 0.99
    (group,) = groups(tmp_path, early, at(3e-4, 0.7), at(1e-3, 0.5))
    assert group.chosen.learning_rate == 3e-4


def test_without_a_metric_the_loss_decides(tmp_path: Path) -> None:
    (group,) = groups(tmp_path, at(1e-4, None, loss=0.9), at(3e-4, None, loss=0.3), at(1e-3, None, loss=0.7))
    assert (group.chosen.learning_rate, group.chosen_by) == (3e-4, "loss")


def test_of_rates_that_are_as_good_the_loss_decides_and_else_the_lower_one_is_chosen(tmp_path: Path) -> None:
    (group,) = groups(tmp_path, at(3e-4, 0.7, loss=0.3), at(1e-4, 0.7, loss=0.4), at(1e-3, 0.7, loss=0.5))
    assert (group.chosen.learning_rate, group.chosen_by) == (3e-4, "accuracy")
    (group,) = groups(tmp_path, at(3e-4, 0.7), at(1e-4, 0.7))
    assert group.chosen.learning_rate == 1e-4


def test_a_rate_at_the_edge_of_its_sweep_is_said(tmp_path: Path) -> None:
    (group,) = groups(tmp_path, at(1e-4, 0.6), at(3e-4, 0.7), at(1e-3, 0.8))
    (note,) = group.notes
    assert (
        note
        == "its learning rate 0.001 is the highest of 0.0001, 0.0003 and 0.001: a higher one may be better"
    )
    (group,) = groups(tmp_path, at(1e-4, 0.6))
    assert group.notes == ("0.0001 is the one learning rate that was tried",)


def test_a_rate_above_which_runs_diverge_is_at_no_edge(tmp_path: Path) -> None:
    """And one at which a seed diverged is not chosen, however well the others did."""
    (group,) = groups(
        tmp_path,
        *(at(1e-4, 0.6, train_seed=seed) for seed in (0, 1)),
        *(at(3e-4, 0.7, train_seed=seed) for seed in (0, 1)),
        at(1e-3, 0.9, train_seed=0),
        at(1e-3, 0.9, train_seed=1, status="diverged"),
    )
    assert group.chosen.learning_rate == 3e-4
    assert group.notes == ("1 run diverged at learning rate 0.001",)


def test_where_every_rate_diverges_the_best_of_them_is_chosen_and_that_is_said(tmp_path: Path) -> None:
    (group,) = groups(tmp_path, at(1e-4, 0.6), at(1e-4, 0.6, train_seed=1, status="diverged"))
    assert group.chosen.learning_rate == 1e-4
    assert "no learning rate is without a run that diverged" in group.notes


def test_runs_that_did_not_get_to_an_end_are_left_out(tmp_path: Path) -> None:
    (group,) = groups(
        tmp_path,
        at(1e-4, 0.5),
        at(3e-4, 0.7),
        at(3e-4, 0.1, train_seed=1, status="error"),
        at(3e-4, 0.1, train_seed=2, tested=False),
        at(3e-4, 0.1, train_seed=3, steps=50),
        at(1e-3, 0.5),
    )
    assert [run.seed for run in group.runs] == [(0, 0)]
    assert group.notes == ("3 runs at learning rate 0.0003 failed or did not get to an end: left out",)


def test_rates_are_compared_over_the_seeds_that_all_have(tmp_path: Path) -> None:
    """Sweep with one seed, train the best with more: those must not take the choice back."""
    (group,) = groups(
        tmp_path,
        at(1e-4, 0.6),
        at(3e-4, 0.7),
        *(at(3e-4, 0.4, train_seed=seed) for seed in (1, 2)),
        at(1e-3, 0.5),
    )
    assert (group.chosen.learning_rate, len(group.runs)) == (3e-4, 3)
    (group,) = groups(tmp_path, at(1e-4, 0.6), at(3e-4, 0.7, train_seed=1), at(1e-3, 0.5, train_seed=2))
    assert "its learning rates were tried with different seeds" in group.notes


def test_nothing_is_chosen_where_no_run_was_validated(tmp_path: Path) -> None:
    (group,) = groups(tmp_path, [row for row in at(1e-4, 0.5) if row["split"] == "test"])
    assert (group.chosen, group.runs) == (None, ())
    assert group.notes[0].startswith("no learning rate is chosen")


def test_cells_tasks_and_schedules_are_groups_of_their_own(tmp_path: Path) -> None:
    found = groups(tmp_path, at(1e-4, 0.5), at(1e-4, 0.5, rank=16), at(1e-4, 0.5, task="boolq", run_id="b"))
    assert [(group.cell_id, group.task) for group in found] == [
        ("smollm2-135m_lora_r8", "sst2"),
        ("smollm2-135m_lora_r16", "sst2"),
        ("smollm2-135m_lora_r8", "boolq"),
    ]


def test_runs_that_nothing_tells_apart_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'a' and 'b' have one cell, learning rate and seed"):
        groups(tmp_path, at(1e-4, 0.5, run_id="a"), at(1e-4, 0.9, run_id="b"))


def test_without_a_test_split_runs_are_judged_on_the_validation(tmp_path: Path) -> None:
    (group,) = groups(tmp_path, at(1e-4, 0.6, tested=False), at(3e-4, 0.5, tested=False))
    assert (group.split, len(group.runs)) == ("validation", 1)
