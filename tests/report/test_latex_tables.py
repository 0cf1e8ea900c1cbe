from __future__ import annotations

import re
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from reported_runs import MIB, cell, content, record, write_run

from lorafa_prof.report.latex import latex_tables, latex_text

COMMANDS = "textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar"
ESCAPED = re.compile(rf"\\(?:{COMMANDS})\{{\}}|\\[{{}}$&#_%]|\$\\times\$")

SPECIAL = r"\{}$&#^_~%<>|×\"–"


@example(text=SPECIAL)
@given(text=st.text(st.one_of(st.characters(), st.sampled_from(SPECIAL))))
def test_no_text_is_markup(text: str) -> None:
    written = latex_text(text)
    assert written.isascii()
    assert not set(ESCAPED.sub("", written)) & set(r'\{}$&#^_~%<>|"')
    assert written.isprintable()


def test_text_stays_what_it_is() -> None:
    assert latex_text("my_model 7B 50%") == r"my\_model 7B 50\%"
    assert latex_text("naïve 中") == "naive ?"
    assert latex_text(r"a\b") == r"a\textbackslash{}b"


def rows(text: str) -> list[list[str]]:
    """Cells of the lines of all tables, headings left out."""
    body = re.findall(r"\\midrule\n(.*?)\\bottomrule", text, flags=re.DOTALL)
    return [line.removesuffix(" \\\\").split(" & ") for part in body for line in part.splitlines()]


def swept(tmp_path: Path, **row: object) -> str:
    runs = [
        record(cell(method, rank, seq=seq), peak_allocated_bytes=rank * seq * MIB, **row)
        for method in ("lora", "lora-fa")
        for rank in (4, 8)
        for seq in (16, 32)
    ]
    lost = record(cell("full-ft", seq=16), "oom")
    return latex_tables(content(write_run(tmp_path, [*runs, lost])))


def test_methods_in_lines_what_was_swept_in_columns(tmp_path: Path) -> None:
    text = swept(tmp_path)
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 1
    assert "\\begin{tabular}{lrrrr}" in text
    assert "\\multicolumn{2}{c}{held [MiB]} & \\multicolumn{2}{c}{peak [MiB]}" in text
    assert "\\cmidrule(lr){2-3}\\cmidrule(lr){4-5}" in text
    assert "method / seq & 16 & 32 & 16 & 32 \\\\" in text
    assert rows(text) == [
        ["full-ft", "OOM", "--", "OOM", "--"],
        ["lora r4", "3.00", "3.00", "64.00", "128.00"],
        ["lora r8", "3.00", "3.00", "128.00", "256.00"],
        ["lora-fa r4", "3.00", "3.00", "64.00", "128.00"],
        ["lora-fa r8", "3.00", "3.00", "128.00", "256.00"],
    ]


def test_where_one_value_was_run_all_metrics_are_columns(tmp_path: Path) -> None:
    timed = record(cell(), step_ms_median=12.34, tokens_per_s=5678.9)
    text = latex_tables(content(write_run(tmp_path, [timed])))
    assert "method & held [MiB] & peak [MiB] & reserved [MiB] & step [ms] & tokens/s" in text
    assert rows(text) == [["lora", "3.00", "12.00", "14.00", "12.3", "5679"]]


def test_a_table_for_each_model_and_context_and_none_wider_than_a_page(tmp_path: Path) -> None:
    runs = [
        record(cell(model=model, seq=seq, batch=batch))
        for model in ("a_b", "c%d")
        for seq in range(1, 9)
        for batch in (1, 2)
    ]
    text = latex_tables(content(write_run(tmp_path, runs)))
    assert text.count("\\begin{table*}") == text.count("\\end{table*}") == 4  # two models, two batches
    assert "a\\_b, batch 2" in text
    for table in text.split("\\begin{tabular}")[1:]:
        columns = table[: table.index("\n")].count("r")
        assert columns == 16
        assert {len(each) for each in rows(table)} == {columns + 1}


def test_a_table_is_no_wider_than_a_page_and_one_of_few_columns_than_one_of_two(tmp_path: Path) -> None:
    few = latex_tables(content(write_run(tmp_path / "few", [record(cell(seq=seq)) for seq in (1, 2)])))
    assert "\\begin{table}[htbp]" in few
    assert "*}" not in few
    many = [record(cell(seq=seq), activation_bytes=seq * MIB) for seq in range(100, 140)]
    text = latex_tables(content(write_run(tmp_path / "many", many)))
    columns = [part[: part.index("\n")].count("r") for part in text.split("\\begin{tabular}")[1:]]
    assert sum(columns) == 2 * 40
    for part, number in zip(text.split("\\begin{tabular}")[1:], columns, strict=True):
        (line,) = rows(part)
        assert 4.25 * sum(map(len, line)) + 6 * (number + 1) <= 487  # digits of 8 points are 4.25 wide


def test_cells_that_no_label_tells_apart_have_a_line_each(tmp_path: Path) -> None:
    runs = [
        record(cell().model_copy(update={"seed": seed}), activation_bytes=(1 + seed) * MIB) for seed in (0, 1)
    ]
    found = rows(latex_tables(content(write_run(tmp_path, runs))))
    assert sorted(each[1] for each in found) == ["1.00", "2.00"]


def test_a_long_table_is_several(tmp_path: Path) -> None:
    runs = [record(cell("lora", rank)) for rank in range(1, 101)]
    text = latex_tables(content(write_run(tmp_path, runs)))
    assert text.count("\\begin{table}") == 3
    assert len(rows(text)) == 100


def test_latex_need_not_put_off_more_tables_than_it_can(tmp_path: Path) -> None:
    runs = [record(cell(model=f"m{number}")) for number in range(40)]
    text = latex_tables(content(write_run(tmp_path, runs)))
    assert [part.count("\\begin{table}") for part in text.split("\\clearpage")] == [15, 15, 10]
