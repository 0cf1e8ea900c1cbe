"""The row has what was measured, in the columns' units, and nothing else."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.devices.gpus.gpu import GPUS, peak_flops
from lorafa_prof.instruments.energy import EnergyReading
from lorafa_prof.instruments.fidelity.base_error import BaseError
from lorafa_prof.instruments.fidelity.comparison import Comparison
from lorafa_prof.instruments.fidelity.fidelity import Fidelity, WeightFidelity
from lorafa_prof.instruments.flops.counter import FlopCount
from lorafa_prof.instruments.memory.profile import Counters, MemoryProfile, PhaseMemory
from lorafa_prof.instruments.saved.recorder import HeldStorage, SavedStorage, SavedTensors
from lorafa_prof.instruments.timing import StepTimes
from lorafa_prof.results.columns import COLUMN_NAMES, METRICS
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.row import details_of, metric_columns, setting_columns


def phase(start: int, end: int, peak: int) -> PhaseMemory:
    """With 100 bytes of slack at the start and 656 at the end."""
    return PhaseMemory(Counters(start, start - 100), Counters(end, end - 656), Counters(peak, peak - 700))


MEMORY = MemoryProfile(
    phases={
        "forward": phase(1000, 3560, 3600),
        "backward": phase(3560, 2000, 4000),
        "optimizer": phase(2000, 1000, 2500),
    },
    gradients_bytes=300,
    peak_reserved_bytes=9000,
    num_alloc_retries=0,
)
SAVED = SavedTensors(
    (
        SavedStorage("a", "linear", "linear_input", (500,), "float32", 2000, 2, False),
        SavedStorage("b", "embedding", "other", (2,), "int64", 16, 1, True),
    ),
    (HeldStorage("", 4),),
)
FLOPS = FlopCount(
    {"forward": 10**12, "backward": 3 * 10**12, "optimizer": 10**9}, 5 * 10**11, {"a": (7, 8)}, {}
)
TIMES = StepTimes(
    (20.0, 40.0, 30.0),
    {"forward": (5.0, 6.0, 7.0), "backward": (10.0, 30.0, 20.0), "optimizer": (1.0, 3.0, 2.0)},
)
FIDELITY = Fidelity(
    "lora-fa",
    tuple(
        WeightFidelity(
            path,
            (3, 2),
            1,
            {"lora-fa": Comparison(8.0, 8.0, 4.0, 4.5), "optimizer": Comparison(8.0, 1.0, 1.0, 7.0)},
            {"rows": Comparison(8.0, 4.0, 4.0, 2.0)},
        )
        for path in ("a", "b")
    ),
)
GPU = "h100-80gb"
ALL = Measured(
    params_total=1000,
    params_trainable=10,
    weights_bytes=4000,
    optimizer_bytes=80,
    inputs_bytes=16,
    memory=MEMORY,
    times=TIMES,
    flops=FLOPS,
    saved=SAVED,
    fidelity=FIDELITY,
    base_error=BaseError({"a": Comparison(4.0, 4.0, 3.5, 1.0)}),
    energy=EnergyReading(joules=28.8, seconds=3.0),
    device_used_bytes=10**9,
    process_used_bytes=10**8,
    host_rss_bytes=10**7,
)
CUDA_CELL = tiny_cell(dtype="bf16", device="cuda", gpu=GPU)  # 2 × 48 tokens


def test_every_metric_has_its_value() -> None:
    peak = peak_flops(GPUS[GPU], "bf16")
    assert peak is not None
    row = metric_columns(CUDA_CELL, ALL)
    assert row == {
        "params_total": 1000,
        "params_trainable": 10,
        "weights_bytes": 4000,
        "gradients_bytes": 300,
        "optimizer_bytes": 80,
        "activation_bytes": 2560,
        "saved_bytes": 2016,
        "peak_allocated_bytes": 4000,
        "peak_forward_bytes": 3600,
        "peak_backward_bytes": 4000,
        "peak_optimizer_bytes": 2500,
        "peak_reserved_bytes": 9000,
        "device_used_bytes": 10**9,
        "host_rss_bytes": 10**7,
        "flops_forward": 10**12,
        "flops_backward": 3 * 10**12,
        "flops_step": 4 * 10**12 + 10**9,
        "mfu": pytest.approx((3.5 * 10**12 + 10**9) / (0.030 * peak)),
        "step_ms_median": 30.0,
        "step_ms_p05": pytest.approx(21.0),
        "step_ms_p95": pytest.approx(39.0),
        "forward_ms": 6.0,
        "backward_ms": 20.0,
        "optimizer_ms": 2.0,
        "tokens_per_s": pytest.approx(96 / 0.030),
        "tokens_per_s_per_gpu": pytest.approx(96 / 0.030),
        "samples_per_s": pytest.approx(2 / 0.030),
        "energy_j_per_token": pytest.approx(28.8 / (3 * 96)),
        "fidelity_distance": 0.75,
        "fidelity_cosine": 0.5,
        "fidelity_floor": 0.5,
        "base_error": 0.5,
        "base_cosine": 0.875,
    }
    assert set(row) == {column.name for column in METRICS}


NEEDED_FOR = {
    "params_total": {"params_total"},
    "params_trainable": {"params_trainable"},
    "weights_bytes": {"weights_bytes"},
    "optimizer_bytes": {"optimizer_bytes"},
    "inputs_bytes": set(),
    "memory": {name for name in COLUMN_NAMES if name.startswith("peak_")}
    | {"activation_bytes", "gradients_bytes"},
    "times": {name for name in COLUMN_NAMES if name.endswith(("_ms", "_per_s", "_per_gpu"))}
    | {"step_ms_median", "step_ms_p05", "step_ms_p95", "mfu", "energy_j_per_token"},
    "flops": {"flops_forward", "flops_backward", "flops_step", "mfu"},
    "saved": {"saved_bytes"},
    "communication": set(),
    "fidelity": {"fidelity_distance", "fidelity_cosine", "fidelity_floor"},
    "base_error": {"base_error", "base_cosine"},
    "energy": {"energy_j_per_token"},
    "device_used_bytes": {"device_used_bytes"},
    "process_used_bytes": set(),
    "host_rss_bytes": {"host_rss_bytes"},
}


@pytest.mark.parametrize("unknown", NEEDED_FOR)
def test_what_was_not_measured_is_absent(unknown: str) -> None:
    row = metric_columns(CUDA_CELL, replace(ALL, **{unknown: None}))
    assert set(metric_columns(CUDA_CELL, ALL)) - set(row) == NEEDED_FOR[unknown]
    assert None not in row.values()


def test_every_measurement_is_covered_above() -> None:
    kept_apart = {
        "seconds",
        "notes",
        "marks",
        "unavailable",
        "unchecked_operations",
        "alike_ranks",
        "tokens_beside_seq",
        "part_started",
        "further",
    }
    assert {field.name for field in fields(Measured)} - kept_apart == set(NEEDED_FOR)


def test_rates_count_what_the_model_sees_beside_text() -> None:
    plain, beside = (
        metric_columns(CUDA_CELL, replace(ALL, tokens_beside_seq=tokens))
        for tokens in (0, CUDA_CELL.seq // 2)
    )
    assert beside["tokens_per_s"] == pytest.approx(1.5 * float(plain["tokens_per_s"] or 0))
    assert beside["energy_j_per_token"] == pytest.approx(float(plain["energy_j_per_token"] or 0) / 1.5)


def test_nothing_measured_is_an_empty_row() -> None:
    assert metric_columns(CUDA_CELL, Measured()) == {}


def test_zero_is_a_value() -> None:
    row = metric_columns(
        CUDA_CELL, replace(ALL, optimizer_bytes=0, memory=replace(MEMORY, gradients_bytes=0))
    )
    assert row["optimizer_bytes"] == row["gradients_bytes"] == 0


def test_counters_the_host_lacks_are_absent() -> None:
    memory = replace(MEMORY, peak_reserved_bytes=None, num_alloc_retries=None)
    assert "peak_reserved_bytes" not in metric_columns(CUDA_CELL, replace(ALL, memory=memory))


@pytest.mark.parametrize("gpu", [None, "no-such-gpu"])
def test_mfu_needs_a_known_gpu(gpu: str | None) -> None:
    assert "mfu" not in metric_columns(tiny_cell(gpu=gpu), ALL)


def test_mfu_is_of_the_type_that_products_are_computed_in() -> None:
    fp32 = CUDA_CELL.model_copy(update={"dtype": "fp32"})
    under_autocast = fp32.model_copy(update={"autocast": "bf16"})
    bf16 = CUDA_CELL.model_copy(update={"dtype": "bf16"})
    assert metric_columns(under_autocast, ALL)["mfu"] == metric_columns(bf16, ALL)["mfu"]
    assert metric_columns(under_autocast, ALL)["mfu"] != metric_columns(fp32, ALL)["mfu"]


def test_mfu_of_a_base_in_8_bit_floats_has_each_types_own_peak() -> None:
    step_s = 0.030
    bf16, fp8 = (peak_flops(GPUS[GPU], dtype) for dtype in ("bf16", "fp8"))
    assert bf16 is not None
    assert fp8 is not None
    part = 2 * 10**12
    row = metric_columns(CUDA_CELL, replace(ALL, flops=replace(FLOPS, fp8=part)))
    assert row["mfu"] == pytest.approx(((FLOPS.model - part) / bf16 + part / fp8) / step_s)
    whole = metric_columns(CUDA_CELL, replace(ALL, flops=replace(FLOPS, fp8=FLOPS.model)))
    assert whole["mfu"] == pytest.approx(FLOPS.model / fp8 / step_s)


def test_mfu_is_not_told_where_a_peak_is_unknown() -> None:
    cell = CUDA_CELL.model_copy(update={"gpu": "rtx-4070"})
    assert "mfu" in metric_columns(cell, ALL)
    assert "mfu" not in metric_columns(cell, replace(ALL, flops=replace(FLOPS, fp8=10**12)))


def test_settings_of_an_adapted_and_of_a_full_cell() -> None:
    row = setting_columns(tiny_cell("tiny-llama", "lora", dtype="bf16", gpu=GPU))
    assert row.pop("cell_id") == tiny_cell("tiny-llama", "lora", dtype="bf16", gpu=GPU).cell_id
    assert row == {
        "model": "tiny-llama",
        "method": "lora",
        "rank": 4,
        "targets": "all-linear",
        "dropout": 0.0,
        "batch": 2,
        "seq": 48,
        "dtype": "bf16",
        "adapter_dtype": "bf16",
        "attention": "sdpa",
        "kernels": "eager",
        "checkpointing": "none",
        "optimizer": "adamw",
        "device": "cpu",
        "gpu": GPU,
        "padding": 0.0,
        "accumulation": 1,
        "max_grad_norm": None,
        "update": None,
        "quantization": None,
        "double_quant": None,
        "autocast": None,
        "kbit_prepare": None,
        "phase": None,
        "kept_logits": None,
        "lengths": None,
        "packing": None,
        "loss": None,
        "launch": None,
        "parallel": None,
        "gpus": None,
        "shard": None,
    }
    full = setting_columns(tiny_cell("tiny-llama", "full-ft"))
    assert full.keys() == row.keys() | {"cell_id"}
    assert {name for name, value in full.items() if value is None} == {
        "rank", "targets", "dropout", "adapter_dtype", "gpu", "max_grad_norm", "update",
        "quantization", "double_quant", "autocast", "kbit_prepare", "phase", "kept_logits",
        "lengths", "packing", "loss", "launch", "parallel", "gpus", "shard",
    }  # fmt: skip
    assert set(full) <= set(COLUMN_NAMES)


def test_micro_batches_count_in_rates_and_padding_does_not_lessen_them() -> None:
    cell = CUDA_CELL.model_copy(update={"accumulation": 3, "padding": 0.5, "max_grad_norm": 1.0})
    row, plain = metric_columns(cell, ALL), metric_columns(CUDA_CELL, ALL)
    assert {name for name in row if row[name] != plain[name]} == {
        "tokens_per_s", "tokens_per_s_per_gpu", "samples_per_s", "energy_j_per_token",
    }  # fmt: skip
    assert row["tokens_per_s"] == pytest.approx(3 * 96 / 0.030)
    assert row["samples_per_s"] == pytest.approx(3 * 2 / 0.030)
    assert row["energy_j_per_token"] == pytest.approx(28.8 / (3 * 3 * 96))
    settings = setting_columns(cell)
    assert [settings[name] for name in ("padding", "accumulation", "max_grad_norm")] == [0.5, 3, 1.0]


def test_details_are_plain_and_complete() -> None:
    details = details_of(CUDA_CELL, ALL)
    assert json.loads(json.dumps(details)).keys() == details.keys()
    assert set(details) == {
        "seconds", "notes", "marks", "unavailable", "memory", "saved", "reconciliation", "flops", "times",
        "fidelity", "base_error", "energy",
    }  # fmt: skip
    assert details["memory"]["static_bytes"] == 1000
    assert details["memory"]["inputs_bytes"] == 16
    assert details["memory"]["phases"]["backward"]["peak"]["allocated"] == 4000
    assert sum(details["saved"]["by_kind"].values()) == 2016
    assert details["saved"]["from_before_bytes"] == 16
    assert details["flops"]["recomputed"] == 5 * 10**11


def test_reconciliation_is_told() -> None:
    assert details_of(CUDA_CELL, ALL)["reconciliation"] == {
        "activation_bytes": 2560,
        "saved_bytes": 2000,
        "held_otherwise_bytes": 4,
        "slack_bytes": 556,
        "residual_bytes": 0,
        "replaced_bytes": 0,
    }
