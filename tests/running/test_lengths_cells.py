"""Runs of steps of different lengths: each as a cell of that length, and the twin as the CPU in all."""

from __future__ import annotations

from typing import Any

import pytest
from cells import TWIN
from tiny_cells import BATCH, tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim.allocator import AllocatorSettings
from lorafa_prof.errors import UsageError
from lorafa_prof.explaining.predicted_step import predicted_step
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.evaluation_step import check_phase
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.verification.residuals import is_exact, phase_residuals

LENGTHS = (48, 16, 64, 7, 64, 33)
#: So large that the next step's tensors do not fit where these were.
GROWING = (300, 350, 280, 400, 380, 450, 290, 500)
#: Dropout keeps another mask on the CPU.
WITHOUT_DROPOUT = ("tiny-llama", "tiny-mistral", "tiny-qwen2")


def run_cell(model: str = "tiny-llama", method: str = "lora", **settings: Any) -> Cell:
    lengths = settings.pop("lengths", LENGTHS)
    return tiny_cell(model, method, seq=max(lengths), lengths=lengths, **settings)


def measured(*args: Any, **settings: Any) -> CellResult:
    result = measure_cell(run_cell(*args, **settings))
    assert result.row["status"] == "ok"
    return result


def peaks(result: CellResult) -> list[int]:
    """Of each step, over its start, in bytes that tensors asked for."""
    steps = result.details["memory"]["steps"]
    assert [step["seq"] for step in steps] == list(LENGTHS)
    return [step["memory"]["peak"]["requested"] - step["memory"]["start"]["requested"] for step in steps]


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
@pytest.mark.parametrize("device", ["cpu", TWIN])
def test_a_step_takes_what_a_cell_of_its_length_takes(device: str, method: str) -> None:
    result = measured(method=method, device=device)
    alone = {}
    for seq in set(LENGTHS):
        phases = measure_cell(tiny_cell("tiny-llama", method, seq=seq, device=device)).details["memory"][
            "phases"
        ]
        most = max(memory["peak"]["requested"] for memory in phases.values())
        alone[seq] = most - phases["forward"]["start"]["requested"]
    assert peaks(result) == [alone[seq] for seq in LENGTHS]


@pytest.mark.parametrize("settings", [{}, {"accumulation": 2}, {"checkpointing": "full"}], ids=str)
@pytest.mark.parametrize("family", WITHOUT_DROPOUT)
def test_the_twin_asks_for_what_the_cpu_does_in_every_step(family: str, settings: dict[str, Any]) -> None:
    """Attention in products, which both run; the start has the GPU's workspaces."""
    cpu, twin = (measured(family, attention="eager", device=d, **settings) for d in ("cpu", TWIN))
    assert peaks(cpu) == peaks(twin)


def test_the_row_is_of_all_steps_and_what_is_held_of_the_longest() -> None:
    result, longest = measured(), measure_cell(tiny_cell("tiny-llama", "lora", seq=64))
    row = result.row
    assert (row["seq"], row["lengths"]) == (64, "48,16,64,7,64,33")
    for name in ("activation_bytes", "saved_bytes", "gradients_bytes", "flops_step"):
        assert row[name] == longest.row[name]
    assert result.details["reconciliation"]["residual_bytes"] == 0
    assert row["peak_allocated_bytes"] == max(
        step["memory"]["peak"]["allocated"] for step in result.details["memory"]["steps"]
    )
    assert "a run of 6 steps" in str(row["message"])
    assert "step 3 (seq 64)" in str(row["message"])
    assert "s7-64" in result.cell.cell_id
    assert result.cell.label.endswith("s7-64")


def test_each_step_is_timed_once_and_rates_are_of_all() -> None:
    result = measured()
    times = result.details["times"]
    assert len(times["step_ms"]) == len(LENGTHS)
    seconds = sum(times["step_ms"]) / 1e3
    assert float(str(result.row["tokens_per_s"])) == pytest.approx(BATCH * sum(LENGTHS) / seconds)
    assert float(str(result.row["samples_per_s"])) == pytest.approx(BATCH * len(LENGTHS) / seconds)
    assert not result.details["marks"]


def test_reserved_grows_and_expandable_segments_let_it_grow_less() -> None:
    cell = run_cell(lengths=GROWING, batch=64, device=TWIN)
    plain, expandable = (
        predict_memory(cell, None, AllocatorSettings(expandable_segments=given)).memory
        for given in (False, True)
    )
    assert plain is not None
    assert expandable is not None
    reserved = [step.memory.peak.reserved or 0 for step in plain.steps]
    assert reserved == sorted(reserved)
    assert plain.peak_reserved_bytes == reserved[-1] > 2 * plain.peak_allocated_bytes
    assert (expandable.peak_reserved_bytes or 0) < 1.2 * expandable.peak_allocated_bytes


def test_many_lengths_are_told_in_short() -> None:
    row = measured(lengths=tuple(range(8, 18))).row
    assert row["lengths"] == "10 steps of 8 to 17, mean 12.5"


def test_it_is_explained_at_its_peak_and_by_its_longest_step() -> None:
    cell = run_cell(device=TWIN)
    found = predicted_step(cell)
    row = measure_cell(cell).row
    assert found.peak.total_bytes == row["peak_allocated_bytes"]
    assert found.peak.unexplained_bytes == 0
    assert found.activation is not None
    assert found.activation.total_bytes == row["activation_bytes"]
    assert found.activation.unexplained_bytes == 0


def test_one_byte_in_one_step_is_not_exact() -> None:
    memory = measured(device=TWIN).details["memory"]
    assert is_exact(phase_residuals(memory, memory))
    other = measured(device=TWIN).details["memory"]
    other["steps"][1]["memory"]["peak"]["requested"] += 1
    found = phase_residuals(memory, other)
    assert not is_exact(found)
    assert [one.phase for one in found if one.bytes.residual] == ["step 2 of the run"]


def test_an_evaluation_has_one_length() -> None:
    with pytest.raises(UsageError, match="phase 'eval' has batches of one length") as refused:
        check_phase(run_cell(phase="eval"))
    assert refused.value.about == "seq"
