from __future__ import annotations

from pathlib import Path

import pytest
from reported_runs import MIB, cell, content, record, write_run

from lorafa_prof.results.record import CellResult


def sentences(tmp_path: Path, *records: CellResult) -> str:
    return "\n".join(content(write_run(tmp_path, records)).summary.sentences)


def test_what_ran_and_what_did_not(tmp_path: Path) -> None:
    told = sentences(
        tmp_path,
        record(cell(batch=1)),
        record(cell(batch=2)),
        record(cell(batch=4), "oom", failed_phase="forward"),
        record(cell(batch=8), "error", message="bad"),
    )
    assert "4 cells: 2 ran to the end, 1 ran out of memory, 1 failed with an error." in told
    assert "Out of memory: lora batch 4." in told
    assert "Failed: lora batch 8." in told
    assert "Predicted for h100-80gb by the twin, which has no clock." in told


def test_many_without_a_result_are_counted(tmp_path: Path) -> None:
    told = sentences(tmp_path, *(record(cell(batch=batch), "oom") for batch in range(1, 10)))
    assert "9 cells: 9 ran out of memory." in told
    assert "lora batch 6; and 3 more." in told


def test_measured_and_predicted_are_told_apart(tmp_path: Path) -> None:
    measured = cell().model_copy(update={"device": "cuda"})
    told = sentences(tmp_path, record(cell()), record(measured))
    assert "Measured on h100-80gb; predicted for h100-80gb by the twin, which has no clock." in told


def test_methods_are_compared_where_cells_are_alike_in_all_else(tmp_path: Path) -> None:
    def pair(rank: int, held: int, peak: int) -> list[CellResult]:
        return [
            record(cell("lora", rank), activation_bytes=100 * MIB, peak_allocated_bytes=200 * MIB),
            record(cell("lora-fa", rank), activation_bytes=held * MIB, peak_allocated_bytes=peak * MIB),
        ]

    alone = record(cell("lora-fa", batch=64), activation_bytes=1)
    told = sentences(tmp_path, *pair(4, 80, 190), *pair(8, 75, 210), alone)
    assert (
        "lora-fa against lora (2 pairs of cells alike in all else): "
        "it holds 20.0 % to 25.0 % less, its peak is between 5.0 % less and 5.0 % more." in told
    )


def test_full_fine_tuning_is_compared_with_every_rank(tmp_path: Path) -> None:
    full = record(cell("full-ft"), activation_bytes=8 * MIB)
    told = sentences(tmp_path, full, *(record(cell("lora-fa", rank)) for rank in (4, 8)))
    assert "lora-fa against full-ft (2 pairs of cells alike in all else): it holds 62.5 % less" in told
    assert "its peak is the same" in told


@pytest.mark.parametrize("status", ["oom", "error"])
def test_a_cell_that_did_not_finish_is_compared_with_nothing(tmp_path: Path, status: str) -> None:
    told = sentences(tmp_path, record(cell("lora"), status, activation_bytes=1), record(cell("lora-fa")))
    assert "against" not in told


def test_where_several_could_be_the_other_one_none_is(tmp_path: Path) -> None:
    twins = [record(cell("lora").model_copy(update={"seed": seed})) for seed in (0, 1)]
    assert "against" not in sentences(tmp_path, *twins, record(cell("lora-fa")))


def test_least_and_most_of_each_method(tmp_path: Path) -> None:
    sizes = [5, 2, 9]
    runs = [record(cell(batch=b), activation_bytes=size * MIB) for b, size in enumerate(sizes, 1)]
    lost = record(cell(batch=7), "oom")
    (needs,) = content(write_run(tmp_path, [*runs, lost])).summary.methods
    assert (needs.method, needs.cells, needs.finished, needs.speed) == ("lora", 4, 3, None)
    assert needs.held is not None
    assert [(each.value, each.label) for each in needs.held] == [
        (2 * MIB, "lora batch 2"),
        (9 * MIB, "lora batch 3"),
    ]
