"""Rows that are worth less than others are marked in every form of a report, and what marks mean is said."""

from __future__ import annotations

import pytest
from reported_runs import cell, content, details, record, storage, write_run

from lorafa_prof.report.latex import latex_tables
from lorafa_prof.report.markdown import markdown_report
from lorafa_prof.report.page_data import page_data

LEGEND = "marks of rows that are worth less than others: beside: measured beside others (docs/results.md)"
TIMES = {"tokens_per_s": 1000.0, "step_ms_median": 5.0}


def report_of(out, *marks: str, method: str = "lora-fa"):
    """A report of two cells, of which the second has these marks."""
    kept = details(storage("layers.0.norm", 2**20), marks={mark: f"why {mark}" for mark in marks})
    first, second = cell(), cell(method)
    return content(write_run(out, [record(first, **TIMES), record(second, kept=kept, **TIMES)]))


def test_the_table_of_cells_names_marks_and_a_note_says_what_they_mean(tmp_path):
    text = markdown_report(report_of(tmp_path, "beside"))
    assert f"> {LEGEND}" in text
    header = next(line for line in text.splitlines() if "| status | marks |" in line)
    rows = [line for line in text.splitlines() if line.startswith("| lora") and "ok" in line]
    assert header.count("|") == rows[0].count("|") == rows[1].count("|")
    assert ["| ok | beside |" in row for row in rows] == [False, True]


def test_the_page_has_the_column_and_what_speaks_against_which_value(tmp_path):
    found = report_of(tmp_path, "beside")
    data = page_data(found)
    assert LEGEND in found.notes
    (column,) = [column for column in data["columns"] if column["name"] == "marks"]
    assert column["shown"]
    one, other = data["cells"]
    assert "doubts" not in one
    assert other["doubts"] == dict.fromkeys(TIMES, "measured beside others")


@pytest.mark.parametrize(
    ("mark", "daggers", "said"),
    [("unsteady", 2, "unsteady samples"), ("retries", 5, "allocator retried")],
)
def test_a_table_for_a_paper_has_a_sign_behind_each_value_that_is_doubted(tmp_path, mark, daggers, said):
    text = latex_tables(report_of(tmp_path, mark))
    sign = r"$^\dagger$"
    assert f" {sign} {said}.}}" in text
    (line,) = [line for line in text.splitlines() if line.startswith("lora-fa")]
    assert line.count(sign) == daggers
    assert text.count(sign) == daggers + 1


def test_no_ratio_is_told_of_disturbed_times(tmp_path):
    for number, (mark, told) in enumerate((("beside", False), ("unsteady", True), ("retries", False))):
        sentences = " ".join(report_of(tmp_path / str(number), mark).summary.sentences)
        assert ("a step takes" in sentences.lower()) == told
        assert ("holds as much as" in sentences) == (mark != "retries")


def test_of_rows_as_good_as_any_nothing_is_said(tmp_path):
    found = report_of(tmp_path)
    for text in (
        markdown_report(found),
        latex_tables(found),
        str(found.notes),
        str(page_data(found)["cells"]),
    ):
        assert "marks" not in text
        assert "dagger" not in text
        assert "doubts" not in text
