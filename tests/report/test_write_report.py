from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from reported_runs import cell, record, rewrite, write_run

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.figures.kit.wishes import Wishes
from lorafa_prof.figures.save import SavedFigure, save_all
from lorafa_prof.report import drawing
from lorafa_prof.report.drawing import figures_beside
from lorafa_prof.report.pictures import pictures_of
from lorafa_prof.report.write import write_report
from lorafa_prof.results.records import read_results


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_run(tmp_path / "out", [record(cell(seq=seq)) for seq in (16, 32)])


def test_each_form_has_its_file_beside_the_figures(out: Path) -> None:
    written = write_report(out, ["tex", "html", "png", "md"])
    forms = [path for path in written.paths if path.parent == out]
    assert [path.name for path in forms] == ["report.html", "report.md", "tables.tex"]
    pictures = [path for path in written.paths if path not in forms]
    assert {path.parent for path in pictures} == {out / "figures"}
    assert all(path.stat().st_size > 100 for path in written.paths)
    assert "flops" in written.not_drawn
    page = (out / "report.html").read_text()
    # Its charts show what the other figures do.
    assert re.findall(r'<img [^>]*alt="([^"]*)"', page) == ["Saved for backward, by module"]
    assert written.not_drawn["flops"] in page


def test_the_page_has_its_figures_also_where_none_are_asked_for(tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", [record(cell(), flops_forward=1, flops_backward=2)])
    written = write_report(out, ["html"], folder=tmp_path / "here")
    assert written.paths == (tmp_path / "here/report.html",)
    # Two figures, for light pages and dark ones.
    assert written.paths[0].read_text().count("data:image/png;base64,") == 4
    assert list((tmp_path / "here").iterdir()) == [written.paths[0]]
    assert not (out / "figures").exists()


def test_figures_by_name_come_without_a_report(out: Path, tmp_path: Path) -> None:
    written = write_report(out, ["html", "svg"], folder=tmp_path / "here", figures=["memory-over-seq"])
    assert [path.name for path in written.paths] == [
        f"memory-over-seq.{kind}" for kind in ("svg", "txt", "tex")
    ]
    with pytest.raises(UsageError, match="--figure draws figures"):
        write_report(out, ["html"], figures=["memory-over-seq"])


def test_what_is_unknown_is_told_before_anything_is_written(out: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown format 'htm' \(did you mean 'html'\?\)"):
        write_report(out, ["htm"])
    with pytest.raises(UsageError, match="did you mean 'flops'"):
        write_report(out, ["png"], figures=["flop"])
    with pytest.raises(UsageError, match="unknown style"):
        write_report(out, ["html"], style_name="poster")
    assert not (out / "report.html").exists()


def test_a_folder_that_cannot_be_written_to(out: Path) -> None:
    with pytest.raises(UsageError, match="cannot write to"):
        write_report(out, ["md"], folder=out / "results.csv")


def test_nothing_to_show(out: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToJudgeError, match="throughput is not drawn: no finished cell has"):
        write_report(out, ["png"], figures=["throughput"])
    with pytest.raises(NothingToJudgeError, match=r"no results\.csv"):
        write_report(tmp_path, ["html"])
    (tmp_path / "verify.csv").write_text("cell_id,status\na,exact\n")
    with pytest.raises(NothingToJudgeError):
        write_report(tmp_path, ["html"])


def test_a_folder_of_verify_alone_has_figures_but_no_report(tmp_path: Path) -> None:
    names = "cell_id,method,status,predicted_peak_allocated_bytes,measured_peak_allocated_bytes"
    (tmp_path / "verify.csv").write_text(f"{names}\na,lora,exact,4096,4096\n")
    written = write_report(tmp_path, ["html", "md", "png"])
    assert written.paths[0] == tmp_path / "figures/predicted-against-measured.png"
    assert written.no_report == "the results have no rows"


def test_half_a_character_is_no_reason_to_write_nothing(out: Path) -> None:
    rewrite(out / "provenance.json", written="half \ud83d", command=["lorafa-prof", "run", "\ud83d"])
    assert len(write_report(out, ["html", "md", "tex"]).paths) == 3


def test_figures_of_many_cells_are_the_same_drawn_in_another_process(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MANY_CELLS", 2)
    monkeypatch.setattr(drawing, "_MOST_PROCESSES", 1)
    results = read_results(out)
    names = ["memory-over-seq", "throughput"]
    told: list[tuple[int, int, str]] = []
    with figures_beside(
        results, tmp_path / "a", names, ["svg"], "paper", tell=lambda *of: told.append(of)
    ) as drawn:
        beside = drawn()
    assert told == [(0, 2, names[0]), (1, 2, names[1])]
    here = save_all(results, tmp_path / "b", names, ["svg"])
    assert [(each.name, type(each)) for each in beside] == [(each.name, type(each)) for each in here]
    assert beside[1] == here[1]
    name = "memory-over-seq.svg"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_picture_shows_the_same_with_fewer_bytes(out: Path, tmp_path: Path) -> None:
    results = read_results(out)
    wishes = Wishes(grounds=("light", "dark"))
    (saved,) = save_all(results, tmp_path, ["memory-over-seq"], ["png"], "paper", wishes)
    assert isinstance(saved, SavedFigure)
    assert [path.name for path in saved.paths] == ["memory-over-seq.png", "memory-over-seq-dark.png"]
    (picture,) = pictures_of([saved])
    with Image.open(saved.paths[0]) as whole:
        assert (picture.width, picture.height) == whole.size
    assert len(picture.light) < saved.paths[0].stat().st_size
    assert picture.dark != picture.light
    assert picture.about.startswith("All cells: ")
