from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawings import assert_legible, notes
from explained import measured
from matplotlib.axes import Axes

from lorafa_prof.errors import UsageError
from lorafa_prof.figures import FIGURES, memory_over_time
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.style import PAGES, style
from lorafa_prof.figures.memory_over_time import FIGURE
from lorafa_prof.figures.save import SavedFigure, SkippedFigure, save_all
from lorafa_prof.results.columns import COLUMN_NAMES, COLUMNS
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.records import Results
from lorafa_prof.results.table import pandas_dtype

METHODS = ("full-ft", "lora", "lora-fa")


def results_of(kept: Sequence[CellResult]) -> Results:
    frame = pd.DataFrame(
        [{**result.row, "cell_id": result.cell.cell_id} for result in kept],
        columns=list(COLUMN_NAMES),
        dtype=object,
    )
    records = {result.cell.cell_id: result for result in kept}
    return Results(frame.astype({column.name: pandas_dtype(column) for column in COLUMNS}), records.get)


def changed(result: CellResult, cell: dict[str, Any], **row: Any) -> CellResult:
    return result.model_copy(
        update={"cell": result.cell.model_copy(update=cell), "row": {**result.row, **row}}
    )


def highest(axes: Axes) -> float:
    (total,) = (line for line in axes.lines if line.get_gid() == "total")
    return float(max(total.get_ydata()))


def test_each_method_has_its_step_and_its_peak_is_the_row_s() -> None:
    drawing = FIGURE.draw(results_of([measured(method) for method in METHODS]))
    assert [axes.get_label() for axes in drawing.axes] == [f"step:{method}" for method in METHODS]
    peaks = [measured(method).row["peak_allocated_bytes"] for method in METHODS]
    assert [highest(axes) for axes in drawing.axes] == [pytest.approx(peak / 2**20) for peak in peaks]
    assert len({axes.get_ylim() for axes in drawing.axes}) == 1
    assert "the peak in the table" not in notes(drawing)


def test_a_measured_cell_is_drawn_by_its_twin_and_another_peak_is_told() -> None:
    result = changed(measured("lora"), {"device": "cuda"}, peak_allocated_bytes=3 * 2**20)
    drawing = FIGURE.draw(results_of([result]))
    assert highest(drawing.axes[0]) == pytest.approx(measured("lora").row["peak_allocated_bytes"] / 2**20)
    assert "lora: the peak in the table is 3.000 MiB" in notes(drawing)


def test_the_allocator_is_set_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def predict(cell: Any, settings: Any) -> None:
        asked.append(settings)
        raise UsageError("seen")

    monkeypatch.setattr("lorafa_prof.running.recorded_step.predict_timeline", predict)
    environment = {"allocator": {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}}
    with pytest.raises(NoDataError):
        FIGURE.draw(results_of([measured("lora").model_copy(update={"environment": environment})]))
    assert [settings.expandable_segments for settings in asked] == [True]


def test_without_a_twin_or_a_record_there_is_nothing_to_show() -> None:
    for kept in (
        results_of([changed(measured("lora"), {"device": "cpu", "gpu": None})]),
        results_of([changed(measured("lora"), {}, status="oom")]),
        Results(results_of([measured("lora")]).table),
    ):
        with pytest.raises(NoDataError, match="has a record"):
            FIGURE.draw(kept)


def test_it_is_drawn_only_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = results_of([measured("lora")])
    named = save_all(kept, tmp_path, ["memory-over-time"], ["svg"])
    assert [type(outcome) for outcome in named] == [SavedFigure]
    monkeypatch.setattr(memory_over_time, "_step", lambda *asked: pytest.fail("it was drawn"))
    outcomes: list[SavedFigure | SkippedFigure] = save_all(kept, tmp_path, None, ["svg"])
    assert {outcome.name for outcome in outcomes} < set(FIGURES)  # without those of learning
    (told,) = (outcome for outcome in outcomes if outcome.name == "memory-over-time")
    assert isinstance(told, SkippedFigure)
    assert told.reason.endswith("--figure memory-over-time")


@pytest.mark.parametrize("style_name", ["paper", "slide"])
def test_no_text_overlaps_another(style_name: str) -> None:
    kept = results_of([measured(method) for method in (*METHODS, "peft-lora")])
    with style(PAGES[style_name][-1]):
        assert_legible(FIGURE.draw(kept))
