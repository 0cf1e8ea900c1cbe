from __future__ import annotations

from pathlib import Path

from reported_runs import MIB, cell, content, record, write_run

from lorafa_prof.report.summary import Summary
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
    assert "1 of 4 cells ran out of memory on the h100-80gb: LoRA (batch 4)." in told
    assert "Predicted for h100-80gb by the twin, which has no clock." in told


def test_measured_and_predicted_are_told_apart(tmp_path: Path) -> None:
    measured = cell().model_copy(update={"device": "cuda"})
    told = sentences(tmp_path, record(cell()), record(measured))
    assert "Measured on h100-80gb; predicted for h100-80gb by the twin, which has no clock." in told


def swept(tmp_path: Path) -> Summary:
    """Two methods over two lengths and two ranks; the longer ones hold more."""
    runs = [
        record(
            cell(method, rank, seq=seq),
            activation_bytes=(10 if method == "lora" else 8) * seq * MIB,
            peak_allocated_bytes=(20 * seq + rank) * MIB,
        )
        for method in ("lora", "lora-fa")
        for seq in (16, 32)
        for rank in (4, 8)
    ]
    lost = record(cell("full-ft", seq=32), "oom", failed_phase="forward")
    return content(write_run(tmp_path, [*runs, lost])).summary


def test_the_headline_is_of_the_largest_two_cells_alike_in_all_else(tmp_path: Path) -> None:
    headline = swept(tmp_path).headline
    assert headline is not None
    assert headline.text == "LoRA-FA holds 64.000 MiB (20 %) less than LoRA at rank 8, batch 2, seq 32"
    assert [point.method for point in headline.pair] == ["lora", "lora-fa"]


def test_all_methods_are_told_at_the_settings_of_the_headline_side_by_side(tmp_path: Path) -> None:
    summary = swept(tmp_path)
    assert [group.about for group in summary.groups] == ["seq 16", "seq 32"]
    assert summary.shown is summary.groups[1]
    assert summary.shown.header == ["method", "held for backward", "peak allocated", "reserved"]
    assert [row[:2] for row in summary.shown.rows] == [
        ["full-ft", "OOM in forward"],
        ["lora r4", "320.000 MiB"],
        ["lora-fa r4", "256.000 MiB"],
        ["lora r8", "320.000 MiB"],
        ["lora-fa r8", "256.000 MiB"],
    ]


def test_no_headline_where_nothing_can_be_compared(tmp_path: Path) -> None:
    summary = content(write_run(tmp_path, [record(cell()), record(cell("lora-fa", batch=64))])).summary
    assert summary.headline is None
    assert summary.shown is not None


def test_a_headline_of_what_is_the_same(tmp_path: Path) -> None:
    headline = content(write_run(tmp_path, [record(cell()), record(cell("lora-fa"))])).summary.headline
    assert headline is not None
    assert headline.text == "LoRA-FA holds as much as LoRA at rank 4, batch 2, seq 48"


def test_of_many_cells_at_equal_settings_the_rest_is_counted(tmp_path: Path) -> None:
    shown = content(write_run(tmp_path, [record(cell(rank=rank)) for rank in range(1, 21)])).summary.shown
    assert shown is not None
    assert len(shown.rows) == 16
    assert shown.left_out == "and 4 more"
