"""Measuring a cell in this process: every column it should have, and what is left when memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tiny_cells import FAMILIES, METHOD_NAMES, SEQ, tiny_cell
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from transformers import LlamaForCausalLM

from lorafa_prof.cell import ModelChoice, Steps
from lorafa_prof.errors import UsageError
from lorafa_prof.results.columns import COLUMN_NAMES, METRICS
from lorafa_prof.results.record import CellResult
from lorafa_prof.running import passes, prepare, runner
from lorafa_prof.running.measure import measure_cell, run_here
from lorafa_prof.running.prepare import prepare_step

UNKNOWN_ON_CPU = {"peak_reserved_bytes", "device_used_bytes", "mfu", "energy_j_per_token"}
#: Fidelity is measured only where it is asked for.
METRIC_NAMES = {column.name for column in METRICS if column.group != "fidelity"}


def measured_columns(result: CellResult) -> set[str]:
    return METRIC_NAMES & {name for name, value in result.row.items() if value is not None}


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_column_the_cpu_can_fill(method: str) -> None:
    result = measure_cell(tiny_cell("tiny-llama", method))
    row: Any = result.row
    assert row["status"] == "ok"
    assert "message" not in row
    assert "failed_phase" not in row
    assert measured_columns(result) == METRIC_NAMES - UNKNOWN_ON_CPU
    assert not UNKNOWN_ON_CPU & row.keys()
    assert all(row[name] > 0 for name in METRIC_NAMES - UNKNOWN_ON_CPU)
    assert tuple(result.table_row()) == COLUMN_NAMES


@pytest.mark.parametrize("family", FAMILIES)
def test_relations_between_columns(family: str) -> None:
    result = measure_cell(tiny_cell(family, "lora-fa", dtype="bf16"))
    row: Any = result.row
    peaks = [row[f"peak_{phase}_bytes"] for phase in ("forward", "backward", "optimizer")]
    assert row["peak_allocated_bytes"] == max(peaks)
    assert row["flops_step"] > row["flops_forward"] + row["flops_backward"]  # the correction's products
    assert row["step_ms_p05"] <= row["step_ms_median"] <= row["step_ms_p95"]
    assert row["tokens_per_s"] == pytest.approx(row["samples_per_s"] * SEQ)
    memory = result.details["memory"]
    # The correction's matrices are in it, though the optimizer's own state does not have them.
    assert memory["static_bytes"] == sum(
        [row["weights_bytes"], row["optimizer_bytes"], memory["inputs_bytes"]]
    )
    assert result.details["reconciliation"]["residual_bytes"] == 0
    assert sum(result.details["saved"]["by_kind"].values()) == row["saved_bytes"]
    assert set(result.details["seconds"]) == {"build", "warmup", "memory", "timing", "flops", "saved"}
    text = result.model_dump_json()
    assert CellResult.model_validate_json(text).model_dump_json() == text


def test_the_step_is_the_one_the_cell_asks_for() -> None:
    cell = tiny_cell(padding=0.25, accumulation=3, max_grad_norm=0.5)
    step = prepare_step(cell, torch.device("cpu"))[1]
    assert (step.accumulation, step.max_grad_norm) == (3, 0.5)
    assert step.inputs["attention_mask"].sum(dim=1).tolist() == [SEQ, SEQ * 3 // 4]


@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_padded_accumulated_and_clipped_steps_reconcile(family: str, checkpointing: str) -> None:
    settings: Any = {"padding": 0.5, "checkpointing": checkpointing}
    once, thrice = (
        measure_cell(tiny_cell(family, **settings, **more))
        for more in ({}, {"accumulation": 3, "max_grad_norm": 0.5})
    )
    row, plain = cast(Any, thrice.row), cast(Any, once.row)
    assert (row["padding"], row["accumulation"], row["max_grad_norm"]) == (0.5, 3, 0.5)
    assert once.details["reconciliation"]["residual_bytes"] == 0
    assert thrice.details["reconciliation"]["residual_bytes"] == 0
    same = ("activation_bytes", "saved_bytes", "gradients_bytes", "optimizer_bytes")
    assert [row[name] for name in same] == [plain[name] for name in same]
    assert row["flops_forward"] == 3 * plain["flops_forward"]
    assert row["peak_backward_bytes"] > plain["peak_backward_bytes"]  # beside the gradients of those before
    assert row["samples_per_s"] == pytest.approx(3 * 2 / row["step_ms_median"] * 1e3)


def test_the_last_micro_batch_is_told_of_memory_and_of_what_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = LlamaForCausalLM.forward, []

    def saves_more_each_second_time(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        calls.append(1)
        if len(calls) % 2 == 0:
            output.loss = output.loss.expand(1000).exp().sum()
        return output

    plain = measure_cell(tiny_cell("tiny-llama", "lora"))
    monkeypatch.setattr(LlamaForCausalLM, "forward", saves_more_each_second_time)
    result = measure_cell(tiny_cell("tiny-llama", "lora", accumulation=2))
    more = cast(Any, result.row)["saved_bytes"] - cast(Any, plain.row)["saved_bytes"]
    assert more == 4 * 1000
    assert result.details["reconciliation"]["residual_bytes"] == 0


def test_parameters_and_their_bytes_by_hand() -> None:
    embeddings, layer = 256 * 64, 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 176 + 2 * 64
    total = 2 * embeddings + 2 * layer + 64
    full: Any = measure_cell(tiny_cell("tiny-llama", "full-ft", dtype="bf16")).row
    assert full["params_total"] == full["params_trainable"] == total
    frequencies = 2 * 8 * 4  # rotary: those in use, and the original ones
    assert full["weights_bytes"] == 2 * total + frequencies
    assert full["gradients_bytes"] == 2 * total
    tensors = 3 + 2 * 9  # each has a step count in fp32
    assert full["optimizer_bytes"] == 2 * 2 * total + 4 * tensors

    a, b = 2 * 4 * (6 * 64 + 176), 2 * 4 * (64 + 32 + 32 + 64 + 176 + 176 + 64)
    lora_fa: Any = measure_cell(tiny_cell("tiny-llama", "lora-fa", dtype="bf16")).row
    assert lora_fa["params_total"] == total + a + b
    assert lora_fa["params_trainable"] == b
    assert lora_fa["gradients_bytes"] == 2 * b
    corrections = 14 * 4 * 4 * 2
    assert lora_fa["optimizer_bytes"] == 2 * 2 * b + 4 * 14 + corrections


def test_the_same_cell_gives_the_same_bytes_and_flops() -> None:
    one, other = (measure_cell(tiny_cell("tiny-gpt2", "lora", dropout=0.1)) for _ in range(2))
    same = [
        c.name for c in METRICS if c.group in ("size", "compute", "memory") and c.name != "host_rss_bytes"
    ]
    assert {name: one.row.get(name) for name in same} == {name: other.row.get(name) for name in same}


def test_steps_are_as_many_as_asked_for() -> None:
    result = measure_cell(tiny_cell(steps=Steps(warmup=2, timed=4)))
    assert len(result.details["times"]["step_ms"]) == 4


def test_nothing_looks_while_steps_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[tuple[int, int]] = []
    time_steps = passes.time_steps

    def spy(*args: Any) -> Any:
        modes.append((torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()))
        assert not torch_module._global_forward_hooks
        assert not torch_module._global_forward_pre_hooks
        return time_steps(*args)

    monkeypatch.setattr(passes, "time_steps", spy)
    assert measure_cell(tiny_cell()).row["status"] == "ok"
    assert modes == [(0, 0)]


OOM = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.18 GiB of which 6 MiB "
    "is free. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF"
)
HOST_OOM = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 8 bytes"
)


def fail_in(phase: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `error` be raised in a phase of the first step, or while the model is built."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error  # here

    if phase == "build":
        monkeypatch.setattr(prepare, "build_model", fail)
    elif phase == "forward":
        monkeypatch.setattr(LlamaForCausalLM, "forward", fail)
    elif phase == "backward":
        monkeypatch.setattr(Tensor, "backward", fail)
    else:
        monkeypatch.setattr(torch.optim.AdamW, "step", fail)


def raised_here() -> str:
    """The line of this file that `fail_in` has code of anyone's own raise at."""
    lines = Path(__file__).read_text().splitlines()
    return f"tests/running/test_measure.py:{lines.index('        raise error  # here') + 1}"


PHASES = ["build", "forward", "backward", "optimizer"]


@pytest.mark.parametrize("error", [OOM, HOST_OOM], ids=["device", "host"])
@pytest.mark.parametrize("phase", PHASES)
def test_running_out_of_memory_is_a_result(
    phase: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_in(phase, error, monkeypatch)
    result = measure_cell(tiny_cell("tiny-llama", "lora"))
    assert result.row["status"] == "oom"
    assert result.row["failed_phase"] == phase
    assert result.row["message"] in (
        f"{raised_here()}: CUDA out of memory. Tried to allocate 20.00 MiB.",
        f"{raised_here()}: {HOST_OOM}",
    )
    known = set() if phase == "build" else {"params_total", "params_trainable", "weights_bytes"}
    assert measured_columns(result) == known
    assert result.row["model"] == "tiny-llama"
    assert "build" in result.details["seconds"]


#: Of PyTorch 2.8 and later.
ACCELERATOR_ERROR = getattr(torch, "AcceleratorError", RuntimeError)


@pytest.mark.parametrize(
    "error",
    [
        ACCELERATOR_ERROR("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED when calling `cudnnCreate(&handle)`"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        MemoryError("Unable to allocate 8 GiB"),
    ],
    ids=["context", "driver", "cublas", "cublas's handle", "cudnn's handle", "triton", "Python"],
)
def test_memory_that_others_hold_is_out_of_memory_too(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_in("build", error, monkeypatch)
    result = measure_cell(tiny_cell("tiny-llama", "lora"))
    assert (result.row["status"], result.row["failed_phase"]) == ("oom", "build")
    first = str(error).splitlines()[0] + ("." if "out of memory" in str(error) else "")
    assert result.row["message"] == f"{raised_here()}: {first}"


def test_out_of_memory_that_was_raised_from_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = ValueError("a method that wraps")
    wrapped.__cause__ = OOM
    fail_in("forward", wrapped, monkeypatch)
    result = measure_cell(tiny_cell("tiny-llama", "lora"))
    assert (result.row["status"], result.row["failed_phase"]) == ("oom", "forward")
    assert result.row["message"] == f"{raised_here()}: CUDA out of memory. Tried to allocate 20.00 MiB."


@pytest.mark.parametrize(
    "text",
    ["CUDA error: an illegal memory access", "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED", "out of range"],
)
def test_other_errors_are_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_in("forward", RuntimeError(text), monkeypatch)
    with pytest.raises(RuntimeError, match=text):
        measure_cell(tiny_cell("tiny-llama", "lora"))


def test_a_machine_that_cannot_be_asked_for_want_of_memory_keeps_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = runner.environment

    def no_context(device: str) -> dict[str, Any]:
        if device == "cuda":
            raise RuntimeError("CUDA error: out of memory")
        return whole(device)

    def fail(*args: Any) -> None:
        raise OOM

    monkeypatch.setattr(runner, "environment", no_context)
    result = run_here(tiny_cell("tiny-llama", "lora", device="cuda", gpu="h100-80gb"), fail)
    assert result.row["status"] == "oom"
    assert result.environment["gpu"] == {"name": None, "reason": "CUDA error: out of memory."}


def test_out_of_memory_after_warm_up_keeps_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = LlamaForCausalLM.forward, []

    def fail_second(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise OOM
        return forward(*args, **kwargs)

    monkeypatch.setattr(LlamaForCausalLM, "forward", fail_second)
    result = measure_cell(tiny_cell("tiny-llama", "lora", steps=Steps(warmup=1, timed=1)))
    assert (result.row["status"], result.row["failed_phase"]) == ("oom", "forward")
    assert measured_columns(result) == {
        "params_total",
        "params_trainable",
        "weights_bytes",
        "optimizer_bytes",
    }


EXPLAINING = {
    "flops": ("FlopCounter", {"flops_forward", "flops_backward", "flops_step"}),
    "saved": ("SavedTensorsRecorder", {"saved_bytes"}),
}


@pytest.mark.parametrize("which", EXPLAINING)
def test_out_of_memory_in_an_explaining_pass_costs_its_columns_only(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument, lost = EXPLAINING[which]

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OOM

    monkeypatch.setattr(getattr(passes, instrument), "__enter__", fail)
    result = measure_cell(tiny_cell())
    assert result.row["status"] == "ok"
    assert result.row["message"] == f"no memory left for the {which} pass"
    assert "failed_phase" not in result.row
    assert measured_columns(result) == METRIC_NAMES - UNKNOWN_ON_CPU - lost
    assert which not in result.details


@pytest.mark.parametrize("phase", PHASES)
def test_other_errors_propagate(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_in(phase, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), monkeypatch)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        measure_cell(tiny_cell("tiny-llama", "lora"))


@pytest.mark.parametrize("which", EXPLAINING)
def test_other_errors_of_an_explaining_pass_propagate(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(getattr(passes, EXPLAINING[which][0]), "__enter__", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        measure_cell(tiny_cell())


def test_what_cannot_be_built_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        measure_cell(tiny_cell().model_copy(update={"model": ModelChoice(name="no-such-model")}))


def test_the_model_is_left_as_users_would_have_it() -> None:
    prepared, step = prepare_step(tiny_cell(dtype="bf16"), torch.device("cpu"))
    assert prepared.model is step.model
    assert all(module.training for module in prepared.model.modules() if isinstance(module, nn.Module))
