from __future__ import annotations

from typing import Any

import pytest
from recorded_cell import memory, recorded_cell, result

from lorafa_prof.verification.judge import VerifyRecord, judge_verification
from lorafa_prof.verification.summary import HEADER, exit_code, outcome, summary, table_rows


def record(batch: int, *, allocated: int = 0, reserved: int = 0, **side: Any) -> VerifyRecord:
    cell = recorded_cell().model_copy(update={"batch": batch})
    predicted = memory()
    predicted["phases"]["backward"]["peak"]["allocated"] += allocated
    predicted["peak_reserved_bytes"] += reserved
    measured = result(cell, **side) if side else result(cell, memory())
    return judge_verification(result(cell, None if side else predicted, **side), measured)


EXACT, WRONG = record(1, reserved=2**21), record(2, allocated=-1536)
OOM = record(3, status="oom", failed_phase="forward", message="CUDA out of memory.")
ERROR = record(4, status="error", message="boom")
LABELS = {one.cell.cell_id: f"cell {one.cell.batch}" for one in (EXACT, WRONG, OOM, ERROR)}


def test_the_table_has_a_line_per_cell():
    rows = table_rows([EXACT, WRONG, OOM], LABELS)
    assert all(len(row) == len(HEADER) for row in rows)
    share = f"{100 * 2**21 / memory()['peak_reserved_bytes']:+.2f} %"
    assert rows[0] == ("cell 1", "exact", "0", "0", "0", "0", "0", "0", share, "-")
    assert rows[1][:6] == ("cell 2", "differs", "0", "-1,536", "0", "-1,536")
    assert rows[2] == ("cell 3", "oom", *["-"] * 8)


def test_the_summary_counts_and_names_the_worst():
    measured = memory()["phases"]["backward"]["peak"]["allocated"]
    line = summary([EXACT, WRONG, OOM], LABELS)
    assert line.startswith("1 of 3 cells exact in allocated and requested; 1 out of memory on both sides; ")
    assert (
        f"worst residual -1,536 bytes ({-100 * 1536 / measured:+.2f} %), backward peak allocated of cell 2"
        in line
    )
    assert f"reserved: worst {100 * 2**21 / memory()['peak_reserved_bytes']:+.2f} %, cell 1" in line
    assert "worst residual 0 bytes" in summary([EXACT], LABELS)
    assert summary([ERROR], LABELS) == "0 of 1 cells exact in allocated and requested"


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([], 0),
        ([EXACT], 0),
        ([EXACT, OOM], 0),
        ([EXACT, WRONG, OOM], 3),
        ([ERROR, EXACT], 1),
        ([WRONG, ERROR], 1),
    ],
)
def test_exit_codes(records, code):
    assert exit_code(records) == code


def test_out_of_memory_on_one_side_is_a_difference():
    cell = recorded_cell()
    one = judge_verification(result(cell, status="oom", failed_phase="forward"), result(cell, memory()))
    assert exit_code([one]) == 3
    assert "forward" in outcome(one)


def test_what_came_of_a_cell_in_a_few_words():
    assert outcome(EXACT) == "0 bytes"
    assert outcome(WRONG) == "backward peak allocated -1,536 bytes"
    assert outcome(OOM).startswith("in forward, predicted: CUDA out of memory.")
    assert outcome(ERROR) == "predicted: error: boom; measured: error: boom"


def test_what_came_of_it_names_the_first_differences():
    group = {"kind": "gpu only", "phase": "forward", "operation": "sort", "gpu_bytes": (8,), "twin_bytes": ()}
    groups = [{**group, "count": number} for number in (1, 2, 3)]
    told = outcome(WRONG.model_copy(update={"operations": {"unrecorded": groups}}))
    assert "1 × forward sort: [8] bytes on the GPU only" in told
    assert told.endswith("; 1 more kinds")


def test_the_same_requests_in_other_blocks_are_told():
    row = {**WRONG.row, "differing_allocations": 0}
    assert "every request is the same" in outcome(WRONG.model_copy(update={"row": row}))
