"""Cells with `kernels: fused-norm` beside the same with eager ones: bytes, FLOPs, the twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cells import TWIN
from tiny_cells import METHOD_NAMES, TOKENS, observe, tiny_cell

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.devices.sim.honesty import unchecked_operations
from lorafa_prof.errors import ScenarioError
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.on_twin import TwinWatch, make_twin, run_on_twin
from lorafa_prof.running.plan import check_cells
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

HIDDEN = 64
#: Norms of the tiny models: two a layer, in T5's decoder three, and one at each end; of them those that
#: normalize embeddings, to which no gradient goes back if they are frozen.
NORMS = {"tiny-llama": (5, 1), "tiny-t5": (2 * 2 + 2 * 3 + 2, 2)}
FUSED: dict[str, Any] = {"kernels": "fused-norm"}
families = pytest.mark.parametrize("family", list(NORMS))


def less(family: str, method: str, itemsize: int) -> int:
    """Bytes that eager norms keep for backward and fused ones do not."""
    norms, of_embeddings = NORMS[family]
    if method != "full-ft":
        norms -= of_embeddings
    narrow = itemsize < 4
    copy_in_float32 = 4 if narrow else 0
    product_with_a_trained_weight = itemsize if method == "full-ft" else 0
    # Llama widens its input first and keeps no other; T5 multiplies the input as it came.
    input_kept_by_fused_alone = itemsize if narrow and family != "tiny-t5" else 0
    each = copy_in_float32 + product_with_a_trained_weight - input_kept_by_fused_alone
    return norms * TOKENS * HIDDEN * each


@families
@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize(("dtype", "itemsize"), [("fp32", 4), ("bf16", 2)])
def test_no_wider_copies_are_kept(family: str, method: str, dtype: str, itemsize: int) -> None:
    eager_memory, eager = observe(tiny_cell(family, method, dtype=dtype))
    fused_memory, fused = observe(tiny_cell(family, method, dtype=dtype, **FUSED))
    saved = less(family, method, itemsize)
    assert eager.total_bytes - fused.total_bytes == saved
    assert eager_memory.activation_bytes - fused_memory.activation_bytes == saved
    assert eager.by_kind["norm"] - fused.by_kind["norm"] == saved
    assert {**fused.by_kind, "norm": 0} == {**eager.by_kind, "norm": 0}


def measured(*args: Any, **settings: Any) -> tuple[CellResult, CellResult]:
    """With eager kernels, with fused norms."""
    eager, fused = (measure_cell(tiny_cell(*args, **settings, **kernels)) for kernels in ({}, FUSED))
    assert eager.row["status"] == fused.row["status"] == "ok"
    return eager, fused


@families
@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
def test_the_twin_reconciles_and_holds_less_by_the_formula(family: str, method: str) -> None:
    eager, fused = measured(family, method, dtype="bf16", padding=0.5, device=TWIN)
    found = [result.details["reconciliation"] for result in (eager, fused)]
    assert [each["residual_bytes"] for each in found] == [0, 0]
    held = [each["activation_bytes"] - each["slack_bytes"] for each in found]
    assert held[0] - held[1] == less(family, method, 2)
    # Norms count no FLOPs, neither the first nor the second time.
    for column in ("flops_forward", "flops_backward"):
        assert fused.row[column] == eager.row[column] > 0


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
def test_the_peak_falls_with_what_is_kept(method: str) -> None:
    eager, fused = (
        result.row for result in measured("tiny-llama", method, dtype="bf16", batch=8, seq=512, device=TWIN)
    )
    # It is at the gradient of the logits, where all that is kept is still there.
    before, after = (int(row["activation_bytes"]) for row in (eager, fused))
    assert eager["peak_allocated_bytes"] - fused["peak_allocated_bytes"] == before - after > 0


def test_norms_and_loss_save_together_what_each_saves() -> None:
    eager, norm, loss, both = (
        observe(tiny_cell("tiny-llama", "lora-fa", dtype="bf16", kernels=kernels))[1].total_bytes
        for kernels in ("eager", "fused-norm", "fused-loss", "fused")
    )
    assert eager - both == (eager - norm) + (eager - loss)


@families
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_twin_runs_nothing_that_no_gpu_has_shown(family: str, dtype: str) -> None:
    cell = tiny_cell(family, "full-ft", dtype=dtype, padding=0.5, accumulation=2, device=TWIN, **FUSED)
    with make_twin(cell) as twin:
        run_on_twin(cell, twin, TwinWatch())
        assert unchecked_operations(twin) == []


def test_a_model_with_other_norms_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    scenario = {"schema": 1, "name": "x", "model": "tiny-gpt2", "seq": 16, "method": "lora"}
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump({**scenario, "kernels": ["eager", "fused-norm"]}, sort_keys=False))
    loaded = load_scenario(file)
    planned = expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    with pytest.raises(ScenarioError, match=r"kernels\[1\]: kernels 'fused-norm' knows no norm"):
        check_cells(loaded, planned)
