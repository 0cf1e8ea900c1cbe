from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from drawings import notes, points

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.results.records import Results, read_results

GIB = 2**30
PEAK = "peak_allocated_bytes"
VERIFIED = Path(__file__).parents[2] / "reports/h100-verify"
TWIN = {"device": "sim:h100-80gb", "gpu": "h100-80gb"}
GPU = {"device": "cuda", "gpu": "h100-80gb"}


def draw(results):
    return FIGURES["predicted-against-measured"].draw(results)


def verification(*rows):
    names = ("cell_id", "method", "status", f"predicted_{PEAK}", f"measured_{PEAK}")
    return pd.DataFrame(rows, columns=names)


def test_every_comparable_row_of_the_published_verification_is_drawn():
    results = read_results(VERIFIED)
    with (VERIFIED / "verify.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[f"measured_{PEAK}"]]
    drawing = draw(results)
    drawn = [place for places in points(drawing, "predicted").values() for place in places]
    sides = [(int(row[f"measured_{PEAK}"]) / GIB, int(row[f"predicted_{PEAK}"]) / GIB) for row in rows]
    assert sorted(drawn) == sorted(sides)
    exact = sum(row[f"residual_{PEAK}"] == "0" for row in rows)
    assert f"To the byte: {exact} of {len(rows)} cells." in notes(drawing)
    assert "Not drawn: 1 cell out of memory on both sides." in notes(drawing)


def test_differences_are_shares_of_what_was_measured(table):
    rows = verification(
        ("a", "lora", "exact", 2 * GIB, 2 * GIB),
        ("b", "lora", "placed", 99 * GIB, 100 * GIB),
        ("c", "full-ft", "differs", 51 * GIB, 50 * GIB),
        ("d", "full-ft", "oom-predicted", None, 50 * GIB),
    )
    drawing = draw(Results(table({}), verification=rows))
    found = points(drawing, "difference")
    assert found == {"lora": [(2, 0), (100, pytest.approx(-1))], "full-ft": [(50, pytest.approx(2))]}
    told = notes(drawing)
    assert "To the byte: 1 of 3 cells." in told
    assert "Largest difference: +2 % (1.000 GiB), c." in told
    assert "1 cell agree" in told
    assert "Not drawn: 1 cell out of memory only where predicted." in told


def test_rows_of_the_table_are_paired_by_all_settings(table):
    rows = table(
        {**TWIN, PEAK: 61 * GIB},
        {**GPU, PEAK: 60 * GIB},
        {**TWIN, "rank": 64},
        {**GPU, "rank": 16},
        {"device": "cuda", "gpu": "a100-40gb"},
        {"device": "cpu", "gpu": None},
    )
    assert points(draw(Results(rows)), "predicted") == {"lora": [(60, 61)]}


def test_cells_that_the_table_does_not_tell_apart_are_not_compared(table):
    with pytest.raises(NoDataError, match="no cell is both predicted and measured"):
        draw(Results(table(TWIN, TWIN, GPU)))
    with pytest.raises(NoDataError, match="no cell is both predicted and measured"):
        draw(Results(table(TWIN, TWIN, GPU, GPU)))


def test_a_table_of_one_side_is_nothing_to_draw(table):
    with pytest.raises(NoDataError, match="lorafa-prof verify"):
        draw(Results(table(TWIN, {**TWIN, "rank": 64})))
    with pytest.raises(NoDataError, match="lorafa-prof verify"):
        draw(Results(table({}), verification=verification(("a", "lora", "oom", None, None))))
