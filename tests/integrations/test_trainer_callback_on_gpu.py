"""On a GPU: rows and result of a `Trainer`'s training have the allocator's bytes and the GPU's times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import Log, trained

from lorafa_prof.integrations import TrainerCallback
from lorafa_prof.results.table import read_table
from lorafa_prof.step import PHASES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def test_a_training_on_the_gpu_is_profiled_step_by_step(tmp_path: Path) -> None:
    class Peaks(Log):
        """What the allocator tells at each step's end."""

        now: tuple[int, ...] = ()

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.now = (*self.now, torch.cuda.memory_allocated())

    callback, log = TrainerCallback(every=2, out=tmp_path / "out", show=False), Peaks()
    trained(tmp_path, callback, log, use_cpu=False, bf16=True, eval_strategy="steps", eval_steps=2)
    assert list(callback.rows) == [2, 4]
    found = callback.result
    assert found is not None
    assert (found.device, found.status, len(found.steps)) == ("cuda", "ok", 4)
    for number, row in callback.rows.items():
        assert row["lorafa_prof/step_ms"] > 0
        assert row["lorafa_prof/peak_allocated_bytes"] >= log.now[number - 1]
        assert row["lorafa_prof/peak_allocated_bytes"] == max(
            row[f"lorafa_prof/peak_{phase}_bytes"] for phase in PHASES
        )
    assert found.largest is not None
    assert found.largest.reserved is not None
    assert found.largest.reserved <= torch.cuda.get_device_properties(0).total_memory
    assert {one.user_line.partition(":")[0] for one in found.tensors} == {
        "tests/integrations/toy_training.py"
    }
    assert found.steps[1].held_bytes == found.steps[2].held_bytes
    table = read_table(tmp_path / "out")
    assert table["peak_allocated_bytes"][0] == callback.rows[4]["lorafa_prof/peak_allocated_bytes"]
    assert table["step_ms_median"][0] > 0
