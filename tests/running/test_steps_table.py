"""The committed tables of steps as people run them: the twin of today predicts what an H200 did.

They are written on a GPU by `benchmarks/steps.py`; here their cells are built again from their lines and
predicted afresh. Every kind of line is tried, by the cheapest that are of it; with ``LORAFA_ALL_STEPS=1``
every line is, which is `make bench-steps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from steps_table import ALL_ARE_TRIED, GPU, ROWS, STEPS, TABLES, Row, cell_of, name_of

from lorafa_prof.cell import twin_device
from lorafa_prof.verification.processes import predict
from lorafa_prof.verification.residuals import METRICS, metrics_of

#: What takes the twin least time comes first: those of other models only where no line of these is of a kind.
MODELS = ("roberta-large", "t5-base", "llama-3.2-1b")


def kinds_of(row: Row) -> Iterator[tuple[str, ...]]:
    """What a line shows that only lines of its kind show."""
    yield "types", row["autocast"], row["method"], row["dtype"], row["adapter_dtype"]
    yield "quantization", row["quantization"], row["double_quant"], row["method"]
    yield "optimizer", row["optimizer"], row["method"]
    yield "checkpointing", row["checkpointing"], row["autocast"], row["quantization"]
    yield "kbit_prepare", row["kbit_prepare"], row["quantization"], row["autocast"], row["method"]
    for name in ("update", "accumulation", "kernels", "why"):
        yield name, row[name]


def cheapest_of_each_kind(rows: Sequence[Row]) -> list[Row]:
    """Lines that together are of every kind there is, the cheap ones rather."""
    seen: set[tuple[str, ...]] = set()
    chosen = []
    for row in sorted(rows, key=lambda row: MODELS.index(row["model"])):
        if not seen.issuperset(kinds_of(row)):
            seen.update(kinds_of(row))
            chosen.append(row)
    return chosen


def is_exact(row: Row) -> bool:
    return not any(int(row[f"worst_{counter}_off_bytes"]) for counter in STEPS.COUNTERS)


TRIED = ROWS if ALL_ARE_TRIED else cheapest_of_each_kind(ROWS)


def test_the_table_has_the_columns_of_today_and_each_line_once() -> None:
    assert all(tuple(row) == STEPS.COLUMNS for row in ROWS)
    assert len({name_of(row) for row in ROWS}) == len(ROWS)


def test_each_line_is_of_a_cell_that_the_benchmark_runs() -> None:
    cells = [STEPS.cell_of(spec, twin_device(GPU), GPU) for table in TABLES for spec in STEPS.TABLES[table]()]
    assert all(cell_of(row) in cells for row in ROWS)


def test_lines_tried_are_of_every_kind() -> None:
    def of(rows: Sequence[Row]) -> set[tuple[str, ...]]:
        return {kind for row in rows for kind in kinds_of(row)}

    assert of(TRIED) == of(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_line_that_is_not_exact_says_why(row: Row) -> None:
    assert (row["why"] == "") == is_exact(row)
    if is_exact(row):
        assert all(row[f"predicted_{metric}"] == row[f"measured_{metric}"] for metric in METRICS)
    elif row["why"] == "placing":
        assert row["worst_requested_off_bytes"] == "0"
    else:
        assert row["why"] == "unknown" or (row["why"], row["quantization"]) == ("outliers", "int8")


@pytest.mark.parametrize("row", TRIED, ids=name_of)
def test_the_twin_predicts_what_is_in_the_table(row: Row) -> None:
    """A line that is exact is what was measured; another is off by what the table says."""
    result = predict(cell_of(row))
    assert result.row["status"] == "ok"
    now = metrics_of(result.details["memory"])
    off = {metric: now[metric] - int(row[f"measured_{metric}"]) for metric in METRICS}
    known = {metric: int(row[f"predicted_{metric}"]) - int(row[f"measured_{metric}"]) for metric in METRICS}
    assert off == known, row["why"] or "predicted less measured, bytes; the table's are exact"
