"""Figures of what was measured, and the picture of published numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text
from published_folders import MB, NAME, PAGE, add_run, folder_of_mine

from lorafa_prof.figures.kit.style import style
from lorafa_prof.report.published.experiment import experiment
from lorafa_prof.report.published.figures import draw_figures, measured_rows
from lorafa_prof.report.published.folder import read_folder
from lorafa_prof.report.published.picture import Published, draw, draw_picture, published_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = folder_of_mine(tmp_path)
    add_run(path, "forecast/a-run", "sim:a100-40gb", lambda method, seq: (28 + 2 * seq) * MB)
    add_run(path, "b-gpu/one-run", "cuda", lambda method, seq: 30 * MB if seq == 8 else None)
    return path


def test_cells_of_several_runs_make_one_figure(folder: Path) -> None:
    add_run(folder, "a-gpu/another-run", "cuda", lambda method, seq: 40 * MB if seq == 16 else None)
    rows, missing = measured_rows(NAME, read_folder(folder))
    assert not missing
    assert [(kept.row["seq"], kept.row["peak_allocated_bytes"]) for kept in rows] == [
        (8, 30 * MB),
        (16, 40 * MB),
    ] * 2
    drawn = [Path(line) for line in draw_figures(read_folder(folder))]
    at = folder / "b-gpu" / NAME / "figures"  # where the first cell was measured
    assert drawn == [at / "memory-by-method.png", at / "memory-by-method.pdf"]
    assert all(file.stat().st_size for file in drawn)


def test_no_figure_of_what_was_measured_in_part(folder: Path) -> None:
    said = list(draw_figures(read_folder(folder)))
    assert said == ["mine, memory-by-method: not drawn, 2 of its cells were not measured"]
    assert not list(folder.glob("*/*/figures"))


def numbers_of(folder: Path) -> list[Published]:
    return list(published_in(experiment(NAME, read_folder(folder))))


def test_ours_are_multiples_of_what_was_published(folder: Path) -> None:
    absolute, ratio, growth = numbers_of(folder)
    assert (absolute.label, ratio.label) == (
        "tiny-llama: LoRA-FA takes 60 MB",
        "tiny-llama: LoRA takes 1.5 times as much",
    )
    assert absolute.ours == {"measured": [0.5], "predicted": [pytest.approx(44 / 60), 1.0]}
    assert ratio.ours == {"measured": [], "predicted": [pytest.approx(1 / 1.5)]}
    assert growth.ours == {"measured": [], "predicted": [1.0]}
    assert (absolute.least, absolute.most) == (pytest.approx(0.9), pytest.approx(1.1))
    assert (growth.least, growth.most) == (1, 1)


def test_a_reading_of_ours_is_no_published_number(folder: Path) -> None:
    assert not [number for number in numbers_of(folder) if "saves memory" in number.label]


def texts(drawing: Drawing) -> str:
    return " ".join(text.get_text() for text in drawing.findobj(Text))


def test_the_page_says_what_stands_below_the_picture(folder: Path) -> None:
    with style():
        assert "Where it was measured." in texts(draw(numbers_of(folder), "Where it was measured."))
    with_note = [Path(line).read_bytes() for line in draw_picture(read_folder(folder))]
    (folder / "README.md").write_text(PAGE.replace("<!-- picture: Where it was measured. -->", ""))
    without = [Path(line) for line in draw_picture(read_folder(folder))]
    assert without == [folder / "published.png", folder / "published.pdf"]
    assert with_note[0] != without[0].read_bytes()


def test_no_picture_without_numbers(folder: Path) -> None:
    scenario = folder / f"{NAME}.yaml"
    head, _, _ = scenario.read_text().partition("claims:")
    claim = "{name: it fits, metric: fits, equals: 1, source: our reading}"
    scenario.write_text(f"{head}claims:\n  - {claim}\n")
    (line,) = draw_picture(read_folder(folder))
    assert "not drawn" in line
    assert not list(folder.glob("published.*"))
