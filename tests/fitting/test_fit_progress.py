"""What is shown while answers are searched for."""

from __future__ import annotations

from io import StringIO

import pytest
from predictions import made_up, sim_cell
from rich.console import Console

from lorafa_prof.fitting.progress import FitProgress
from lorafa_prof.running.prediction import UNLIMITED, Prediction

CELL = sim_cell("lora", batch=2, seq=64, checkpointing="full")


@pytest.mark.parametrize("on_terminal", [False, True])
def test_each_prediction_is_told_with_the_settings_that_are_not_usual(on_terminal: bool) -> None:
    said = StringIO()
    with FitProgress(3, Console(file=said, force_terminal=on_terminal, width=200)) as progress:
        progress.predicted(1, CELL, UNLIMITED, Prediction(made_up(1, allocated=2**30)))
        progress.part_done(1)
        progress.predicted(2, CELL, 5, Prediction(None, "forward"))
        progress.part_done(3)
    settings = "h100-80gb tiny-llama lora r4 b2 s64 dtype=fp32 checkpointing=full"
    text = said.getvalue()
    assert f"{settings}: out of memory in forward" in text
    if on_terminal:
        assert "1/3 parts" in text
        assert "3/3 parts" in text
    else:
        assert text.splitlines() == [
            f"[1] {settings} without a limit: peak 1.000 GiB",
            f"[2] {settings}: out of memory in forward (0:00 to go)",
        ]
