from __future__ import annotations

import pytest
from drawings import lines, notes
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.lines import Line2D

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.batch_per_budget import BUDGETS_GB
from lorafa_prof.figures.figure import NoDataError

GB = 10**9
RESERVED = "peak_reserved_bytes"


def cell(batch, reserved_bytes, **more):
    return {"batch": batch, RESERVED: reserved_bytes, "tokens_per_s": None, **more}


def test_the_largest_batch_that_fits_each_budget(table):
    rows = table(cell(1, 10 * GB), cell(2, 16 * GB), cell(8, 90 * GB), cell(16, None, status="oom"))
    drawing = FIGURES["batch-per-budget"].draw(rows)
    ((xs, ys, _),) = lines(drawing, "batch")
    assert dict(zip(xs, ys, strict=True)) == {
        12: 1,
        16: 2,
        24: 2,
        32: 2,
        40: 2,
        48: 2,
        80: 2,
        96: 8,
        141: 8,
    }
    (line,) = [line for line in drawing.findobj(Line2D) if (line.get_gid() or "").startswith("batch:")]
    assert line.get_drawstyle() == "steps-post", "a budget in between fits what the one below it fits"
    assert "The best of the batches in the table (1, 2, 8)" in notes(drawing)
    assert not lines(drawing, "tokens_per_s")


def test_the_best_throughput_may_be_of_a_smaller_batch(table):
    rows = table(cell(1, 10 * GB, tokens_per_s=500.0), cell(2, 70 * GB, tokens_per_s=400.0))
    drawing = FIGURES["batch-per-budget"].draw(rows)
    ((xs, ys, _),) = lines(drawing, "tokens_per_s")
    assert xs == [12, 16, 24, 32, 40, 48, 80, 96, 141]
    assert set(ys) == {500}


def test_a_line_for_each_method_and_none_for_settings_with_one_batch(table):
    rows = table(
        *(cell(batch, batch * 9 * GB, method=method) for method in ("lora", "lora-fa") for batch in (1, 2)),
        cell(4, 9 * GB, method="full-ft"),
    )
    drawing = FIGURES["batch-per-budget"].draw(rows)
    assert len(lines(drawing, "batch")) == 2
    assert "Not drawn: 1 cell of settings with one batch only." in notes(drawing)


@settings(max_examples=10)
@given(st.dictionaries(st.integers(1, 64), st.integers(1, 150 * GB), min_size=2, max_size=8))
def test_what_is_drawn_fits_and_nothing_larger_in_the_table_does(table, reserved):
    rows = table(*(cell(batch, size) for batch, size in reserved.items()))
    if min(reserved.values()) > BUDGETS_GB[-1] * GB:
        with pytest.raises(NoDataError, match="nothing fits 141 GB"):
            FIGURES["batch-per-budget"].draw(rows)
        return
    ((xs, ys, _),) = lines(FIGURES["batch-per-budget"].draw(rows), "batch")
    drawn = dict(zip(xs, ys, strict=True))
    for budget in BUDGETS_GB:
        fitting = [batch for batch, size in reserved.items() if size <= budget * GB]
        assert drawn.get(budget) == (max(fitting) if fitting else None)


def test_a_batch_that_was_not_swept_is_nothing_to_draw(table):
    with pytest.raises(NoDataError, match="the batch was not swept"):
        FIGURES["batch-per-budget"].draw(table(cell(1, GB), cell(2, GB, seq=512)))
    with pytest.raises(NoDataError, match=RESERVED):
        FIGURES["batch-per-budget"].draw(table(cell(1, None), cell(2, None)))
