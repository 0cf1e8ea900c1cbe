from __future__ import annotations

import pytest
from cells import TWIN
from drawings import by_gid, notes, stack, texts
from made_up_records import saved
from stored import storage
from tiny_cells import tiny_cell

from lorafa_prof.cell import Steps
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures import memory_by_kind as figure
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.records import Results
from lorafa_prof.running.measure import measure_cell

GIB = 2**30
RECORD = saved(
    storage("embed", 5 * GIB, "other", from_before=True),
    storage("layers.0.q", 4 * GIB, "linear_input"),
    storage("layers.1.q", 6 * GIB, "linear_input"),
    storage("layers.0.mlp", 20 * GIB, "mlp_activation"),
    storage("layers.0.new", 2 * GIB, "of a later version"),
)


def test_activations_are_split_by_kind_and_the_rest_of_them_is_held_not_saved(results):
    drawing = FIGURES["memory-by-kind"].draw(results({}, details={"cell0": RECORD}))
    assert stack(drawing, "cell0") == {
        "weights_bytes": 13,
        "optimizer_bytes": 2,
        "gradients_bytes": 1,
        "saved_linear_input": 10,
        "saved_mlp_activation": 20,
        "saved_other": 2,
        "unsaved": 42 - 10 - 20 - 2,
        "other": 2,
    }
    assert list(by_gid(drawing, "mark:cell0")["mark:cell0"].get_xdata()) == [60, 60]
    assert "Held otherwise: the rest" in notes(drawing)


def test_the_stack_of_a_cell_predicted_for_real_is_its_peak_to_the_byte(table):
    cell = tiny_cell(device=TWIN, dtype="bf16", steps=Steps(warmup=3, timed=1))
    record = measure_cell(cell)
    drawing = FIGURES["memory-by-kind"].draw(Results(table(record.row), lambda cell_id: record))
    parts = stack(drawing, cell.cell_id)
    scale = sum(parts.values())
    bytes_of = {key: length / scale * record.row["peak_allocated_bytes"] for key, length in parts.items()}
    by_kind = record.details["saved"]["by_kind"]
    assert bytes_of["saved_attention"] == pytest.approx(by_kind["attention"])
    held = sum(length for key, length in bytes_of.items() if key.startswith(("saved_", "unsaved")))
    assert held == pytest.approx(record.row["activation_bytes"])


def test_cells_without_a_record_or_out_of_memory_have_words_instead_of_a_bar(results):
    rows = ({}, {"method": "lora-fa"}, {"method": "full-ft", "status": "oom"})
    drawing = FIGURES["memory-by-kind"].draw(results(*rows, details={"cell0": RECORD, "cell2": RECORD}))
    assert stack(drawing, "cell0")
    assert {"× not measured", "× OOM"} <= set(texts(drawing))


def test_without_any_record_it_says_where_one_would_be(results):
    with pytest.raises(NoDataError, match="OUT/cells"):
        FIGURES["memory-by-kind"].draw(results({}, details={"cell0": {"notes": []}}))


def test_no_more_records_are_read_than_there_are_bars(table, monkeypatch):
    monkeypatch.setattr(figure, "MOST_BARS", 3)
    read = []

    def load(cell_id):
        read.append(cell_id)
        return figure_record

    figure_record = CellResult.model_construct(details=RECORD)
    FIGURES["memory-by-kind"].draw(Results(table(*({"rank": rank} for rank in range(1, 9))), load))
    assert len(read) == 3
