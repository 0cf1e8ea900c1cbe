"""Cells under autocast: on the CPU, on the twin, against figures measured by other means."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from cells import make_cell
from tiny_cells import METHOD_NAMES, tiny_cell

from lorafa_prof.cell import Cell, Steps, twin_device
from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_model, prepare_step

GIB = 2**30


def on_twin(model: str, method: str, gpu: str = "h100-80gb", **settings: Any) -> Cell:
    return tiny_cell(model, method, device=twin_device(gpu), gpu=gpu, **settings)


@pytest.mark.parametrize("autocast", ["bf16", "fp16"])
@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("model", ["tiny-llama", "tiny-roberta"])
def test_every_method_runs_on_cpu_and_twin(model: str, method: str, autocast: str) -> None:
    for device in ("cpu", twin_device("h100-80gb")):
        gpu = None if device == "cpu" else "h100-80gb"
        result = measure_cell(tiny_cell(model, method, autocast=autocast, device=device, gpu=gpu))
        row = cast(Any, result.row)
        assert (row["status"], row["autocast"]) == ("ok", autocast)
        assert result.details["reconciliation"]["residual_bytes"] == 0


@pytest.mark.parametrize("kernels", ["fused-norm", "fused-loss", "fused"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_fused_kernels_run_under_autocast(dtype: str, kernels: str) -> None:
    for method in ("full-ft", "lora-fa"):
        settings = {"dtype": dtype, "autocast": "bf16", "kernels": kernels}
        assert measure_cell(tiny_cell(method=method, **settings)).row["status"] == "ok"
        assert measure_cell(on_twin("tiny-llama", method, **settings)).row["status"] == "ok"


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora"])
def test_flops_are_those_without_autocast(method: str) -> None:
    rows = [measure_cell(tiny_cell(method=method, autocast=a)).row for a in ("none", "bf16")]
    for column in ("flops_forward", "flops_backward", "flops_step"):
        assert rows[0][column] == rows[1][column]


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-foreach"])
@pytest.mark.parametrize("norm", [None, 1.0])
def test_on_the_twin_no_step_is_skipped(optimizer: str, norm: float | None) -> None:
    settings = {"optimizer": optimizer, "max_grad_norm": norm}
    plain, scaled = (
        measure_cell(on_twin("tiny-llama", "lora-fa", autocast=autocast, **settings)).row
        for autocast in ("none", "fp16")
    )
    scale_and_steps = 4 + 4
    assert cast(Any, scaled["optimizer_bytes"]) == cast(Any, plain["optimizer_bytes"]) + scale_and_steps


@pytest.mark.parametrize(
    ("method", "dtype", "held", "peak"),
    [("peft-lora", "bf16", 4.573, 9.022), ("full-ft", "fp32", 7.262, 23.093)],
)
def test_what_others_measured_on_an_h200(method: str, dtype: str, held: float, peak: float) -> None:
    """llama-3.2-1b, 2 × 1024, rank 16 on all linears: GiB that forward leaves, and the peak."""
    options = {} if method == "full-ft" else {"rank": 16, "targets": "all-linear"}
    cell = make_cell(
        method,
        model="llama-3.2-1b",
        options=METHODS[method].options.model_validate(options).model_dump(mode="json"),
        **{"batch": 2, "seq": 1024, "dtype": dtype, "adapter_dtype": "fp32", "autocast": "bf16"},
        **{"device": twin_device("h200"), "gpu": "h200", "steps": Steps(warmup=3)},
    )
    row = cast(Any, measure_cell(cell).row)
    assert round(row["activation_bytes"] / GIB, 3) == held
    assert round(row["peak_allocated_bytes"] / GIB, 3) == peak


def test_a_gradient_in_fp16_is_near_the_one_in_float64() -> None:
    """LoRA-FA's B, corrected, at its first update."""
    seen = []
    for autocast in ("none", "bf16", "fp16"):
        cell = tiny_cell(method="lora-fa", autocast=autocast, max_grad_norm=1e9)
        prepared, step = prepare_step(cell, torch.device("cpu"))
        assert (step.scaler is not None) == (autocast == "fp16")
        if autocast == "none":
            prepared.model.double()
            for matrix in prepared.optimizer_tensors:
                matrix.data = matrix.double()
        gradients: list[torch.Tensor] = []
        trained = [p for p in prepared.model.parameters() if p.requires_grad]
        step.optimizer.register_step_pre_hook(
            lambda *_, into=gradients, of=trained: into.extend(p.grad.double().clone() for p in of)
        )
        step.run()
        seen.append(torch.cat([gradient.flatten() for gradient in gradients]))
    right, bf16, fp16 = seen
    assert float((bf16 - right).norm() / right.norm()) < 0.1
    assert float((fp16 - right).norm() / right.norm()) < 0.01


def _checked(cell: Cell) -> None:
    prepare_model(cell, resolve_model(cell.model), torch.device("meta"))


@pytest.mark.parametrize("gpu", ["t4", "v100-16gb"])
def test_bf16_where_the_catalogue_has_none_is_an_error(gpu: str) -> None:
    with pytest.raises(UsageError, match=rf"{gpu} does not compute in bf16.*autocast: fp16") as raised:
        _checked(on_twin("tiny-llama", "lora", gpu, autocast="bf16"))
    assert raised.value.about == "autocast"
    _checked(on_twin("tiny-llama", "lora", gpu, autocast="fp16"))


def test_fp16_weights_that_train_are_an_error_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="weights that train must be in fp32"):
        _checked(on_twin("tiny-llama", "lora", dtype="fp16", autocast="fp16"))
    _checked(on_twin("tiny-llama", "lora", dtype="fp16", adapter_dtype="fp32", autocast="fp16"))


def test_fp16_updates_at_the_end_of_the_step() -> None:
    with pytest.raises(UsageError, match="set update to step, or autocast to bf16"):
        _checked(tiny_cell(method="full-ft", autocast="fp16", update="backward"))
