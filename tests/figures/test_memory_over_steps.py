from __future__ import annotations

import pytest
from drawings import assert_legible, by_gid, notes
from made_up_records import run

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.memory_over_steps import FIGURE

MIB = 2**20


def heights(drawing, prefix):
    return {gid.partition(":")[2]: list(line.get_ydata()) for gid, line in by_gid(drawing, prefix).items()}


def test_each_step_has_its_peaks_and_its_length(results):
    rows = [{"method": "lora"}, {"method": "lora-fa"}]
    details = {"cell0": run((4, 8, 2), MIB), "cell1": run((4, 8, 2), MIB // 2)}
    drawing = FIGURE.draw(results(*rows, details=details))
    assert heights(drawing, "allocated") == {"lora": [4, 8, 2], "lora-fa": [2, 4, 1]}
    assert heights(drawing, "reserved") == {"lora": [8, 16, 16], "lora-fa": [4, 8, 8]}
    bars = [[bar.get_height() for bar in axes.patches] for axes in drawing.axes if axes.patches]
    assert bars == [[4, 8, 2]] * 2
    told = notes(drawing)
    assert "lora: most is allocated in step 2 of 3 (seq 8), 8.000 MiB" in told
    assert "reserved from 8.000 MiB to 16.000 MiB" in told
    assert_legible(drawing)


def test_a_cpu_reserves_nothing(results):
    drawing = FIGURE.draw(results({}, details={"cell0": run((4, 8), MIB, reserved=False)}))
    assert not heights(drawing, "reserved")
    assert "reserved" not in notes(drawing)
    assert_legible(drawing)


def test_cells_without_a_run_are_not_drawn(results):
    with pytest.raises(NoDataError, match="run of different lengths"):
        FIGURE.draw(results({}, details={"cell0": {"memory": {}}}))
