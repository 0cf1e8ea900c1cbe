"""What a report says of learning runs: a table, and what is doubtful of it; also of learning alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from learned_runs import GIB, run_rows, write_runs
from reported_runs import cell, record, write_run

from lorafa_prof.errors import NothingToJudgeError
from lorafa_prof.report.learned_table import learned_table
from lorafa_prof.report.write import write_report
from lorafa_prof.results.records import read_results


def runs() -> list[list[dict[str, Any]]]:
    return [
        *(run_rows(0.6 + 0.001 * seed, train_seed=seed, peak=2 * GIB) for seed in (0, 1, 2)),
        run_rows(0.5, learning_rate=3e-4),
        run_rows(0.9, method="lora-fa", loss=0.25, seconds=7200),
        run_rows(status="diverged", method="full-ft"),
    ]


def test_each_cell_is_a_row_at_its_chosen_rate(tmp_path: Path) -> None:
    found = learned_table(read_results(write_runs(tmp_path, *runs())))
    assert found.rows == (
        ("sst2", "full-ft", "none of 1", "0", "", "", "", ""),
        (
            "sst2",
            "lora",
            "0.0001 of 2",
            "3",
            "60.10 (59.85 to 60.35)",
            "0.500 (0.500 to 0.500)",
            "2.000 GiB",
            "50.0 s",
        ),
        ("sst2", "lora-fa", "0.0001 of 1", "1", "90.00", "0.250", "1.000 GiB", "2.00 h"),
    )
    assert found.notes[0] == "full-ft: 1 run diverged at learning rate 0.0001"
    assert found.notes[2].startswith("lora: its learning rate 0.0001 is the lowest of 0.0001 and 0.0003")


def test_a_report_of_steps_has_it_beside_them(tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", [record(cell())])
    write_runs(out, *runs())
    written = write_report(out, ["html", "md", "tex"])
    assert [path.name for path in written.paths] == ["report.html", "report.md", "tables.tex"]
    page, text = ((out / name).read_text() for name in ("report.html", "report.md"))
    assert "60.10 (59.85 to 60.35)" in page
    assert '<section id="cells">' in page
    assert 'alt="Quality by seed"' in page
    assert "| sst2 | lora | 0.0001 of 2 | 3 | 60.10 (59.85 to 60.35) |" in text
    assert "- lora: its learning rate 0.0001 is the lowest" in text
    assert "| sst2 | lora-fa | lora | equal settings | 1 | +30.00 | -50.0 % | +14,300.0 % |" in text
    assert re.search(r"<td[^>]*>\+30\.00</td><td[^>]*>-50\.0 %</td>", page)


def test_a_report_of_learning_alone_has_no_cells(tmp_path: Path) -> None:
    out = write_runs(tmp_path / "out", *runs())
    written = write_report(out, ["html", "md", "tex"])
    assert [path.name for path in written.paths] == ["report.html", "report.md"]
    page, text = ((out / name).read_text() for name in ("report.html", "report.md"))
    assert '<section id="learning">' in page
    assert '<section id="cells">' not in page
    assert "<script" not in page
    assert "### Cells" not in text
    assert not any("no records" in note for note in written.notes)
    assert "flops" not in page


def test_a_damaged_table_is_a_note_and_the_rest_is_shown(tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", [record(cell())])
    (out / "learning.csv").write_text("a,b\n1,2\n")
    written = write_report(out, ["md"])
    assert any(note.startswith("its learning runs are not shown: ") for note in written.notes)
    (out / "results.csv").unlink()
    with pytest.raises(NothingToJudgeError):
        write_report(out, ["md"])


def test_a_hostile_run_is_text(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    out = write_runs(tmp_path / "out", run_rows(task=hostile, run_id="a"))
    write_report(out, ["html"])
    assert hostile not in (out / "report.html").read_text()
