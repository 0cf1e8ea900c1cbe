from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reported_runs import cell, content, record, write_run

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.report.content import Content
from lorafa_prof.report.markdown import MOST_CHARACTERS, markdown_report

NAMES = st.text(st.one_of(st.characters(), st.sampled_from("|`<>&*_[]\\@#\n\r\u2028\ud800~$")), min_size=1)


def tables(text: str) -> list[list[str]]:
    """Lines of each table."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("| "):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [lines for lines in found if lines]


def test_summary_claims_and_cells(tmp_path: Path) -> None:
    claim = {"name": "small", "metric": ["activation_bytes"], "at_most": 1, "source": "arXiv 1234.5"}
    lost = record(cell("full-ft"), "oom", failed_phase="backward")
    text = markdown_report(content(write_run(tmp_path, [record(cell()), lost], claims=[claim])))
    assert text.startswith("## made-up\n")
    assert "- 2 cells: 1 ran to the end, 1 ran out of memory.\n" in text
    methods, claims, cells = tables(text)
    assert methods[2:] == [
        "| full-ft | OOM in backward |  |  |",
        "| lora | 3.000 MiB | 12.000 MiB | 14.000 MiB |",
    ]
    assert claims[2].startswith("| ❌ fails | small<br>Source: arXiv 1234.5 | tiny-llama lora r4")
    assert cells[2:] == [
        "| lora | ok | 3.000 MiB | 12.000 MiB | 14.000 MiB |",
        "| full-ft | oom in backward |  |  |  |",
    ]
    assert "torch 2.13.0" in text


def test_a_column_more_has_the_settings_that_no_column_has(tmp_path: Path) -> None:
    said = content(write_run(tmp_path, [record(cell()), record(cell(seed=7)), record(cell("lora-fa"))]))
    *_, cells = tables(markdown_report(said))
    assert [line.split(" | ")[:2] for line in cells[2:]] == [
        ["| lora", "seed=0"],
        ["| lora", "seed=7"],
        ["| lora-fa", ""],
    ]
    assert said.columns[-1].name == "settings"  # a page shows it too


def test_what_there_is_no_room_for_is_counted(tmp_path: Path) -> None:
    one = content(write_run(tmp_path, [record(cell("lora", model="a-model-with-a-name"))]))
    long = replace(one.cells[0], row={**one.cells[0].row, "model": "m" * 200})
    many = replace(
        one,
        cells=(long,) * 5000,
        varying=("model", "method"),
        notes=("something is missing " * 9,) * 500,
        judgement=Judgement("x", (Finding("f" * 200, (Item("i", "fail", "fails"),), "fails"),) * 500, 3),
    )
    text = markdown_report(many)
    assert len(text) <= MOST_CHARACTERS
    left_out = re.search(r"^([\d,]+) cells left out: results.csv has all$", text, flags=re.MULTILINE)
    assert left_out is not None
    assert len(tables(text)[-1]) - 2 + int(left_out[1].replace(",", "")) == 5000
    assert "claims left out" in text
    assert "notes left out" in text
    assert "<details><summary>5,000 cells</summary>" in text


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return content(write_run(tmp_path_factory.mktemp("run"), [record(cell())]))


@settings(max_examples=40)
@given(name=NAMES)
def test_a_name_is_no_markup_whatever_it_is(plain: Content, name: str) -> None:
    told = replace(
        plain,
        title=name,
        notes=(name,),
        cells=(replace(plain.cells[0], row={**plain.cells[0].row, "model": name}),),
        varying=("model", "method"),
    )
    text = markdown_report(told)
    *_, cells = tables(text)
    assert len(cells) == 3
    assert all(line.count("|") == 7 for line in cells)
    assert not re.search(r"<(?!/?(details|summary|sub|br)>)", text)
