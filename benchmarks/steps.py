"""Steps as people run them, on a GPU and on its twin: autocast, quantized bases, optimizers; bytes by phase.

    python benchmarks/steps.py TABLE > reports/h200-steps/TABLE.csv

TABLE is cells, large (bases of 7 and 8 billion parameters) or kbit (bases as PEFT prepares quantized ones). A
line of CSV for each cell: what was measured and predicted, by how much the twin is off at worst, over
start, peak and end of each phase, and why: "unknown", until somebody has found it out. It needs a CUDA GPU of
the catalogue and bitsandbytes. Each cell has processes of its own, several at once: only bytes are compared,
which others on the GPU do not change.
`make bench-steps` predicts the cells of that table again, and needs no GPU.
"""

from __future__ import annotations

import csv
import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import torch

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, Steps, twin_device
from lorafa_prof.devices.here import gpu_here
from lorafa_prof.methods.base import METHODS
from lorafa_prof.scenario.options import validated_options
from lorafa_prof.verification.processes import measure, predict
from lorafa_prof.verification.residuals import METRICS, metrics_of

SIZES = (("llama-3.2-1b", 2, 1024), ("roberta-large", 8, 512), ("t5-base", 4, 512))
LARGE = ("llama-2-7b", "llama-3-8b")
OPTIMIZERS = (
    "adamw", "adamw-foreach", "adamw-loop", "sgd", "sgd-momentum", "adafactor",
    "adamw-8bit", "paged-adamw-8bit",
)  # fmt: skip
ADAPTERS = ("lora", "lora-fa", "peft-lora")
SIDES = ("measured", "predicted")
COUNTERS = ("requested", "allocated", "reserved")
SETTINGS = (
    "model", "batch", "seq", "method", "dtype", "adapter_dtype", "autocast", "quantization", "double_quant",
    "optimizer", "update", "checkpointing", "accumulation", "max_grad_norm", "kernels",
    "kbit_prepare",
)  # fmt: skip
_EARLIER = ("activation_bytes", "peak_allocated_bytes", "peak_requested_bytes", "peak_reserved_bytes")
_LATER = tuple(metric for metric in METRICS if metric not in _EARLIER)
COLUMNS = (
    *SETTINGS,
    *(f"{side}_{metric}" for side in SIDES for metric in _EARLIER),
    *(f"worst_{counter}_off_bytes" for counter in COUNTERS),
    *(f"{side}_{metric}" for side in SIDES for metric in _LATER),
    "why",
)
Spec = dict[str, Any]


def cells() -> Iterator[Spec]:
    """Settings crossed with three models, as changes to a plain cell."""
    for model, batch, seq in SIZES:
        size = {"model": model, "batch": batch, "seq": seq}
        for changes in (*_autocast(model), *_quantized(), *_optimizers()):
            yield {**size, **changes}
    size = {"model": "llama-3.2-1b", "batch": 2, "seq": 1024}
    for kernels in ("fused-norm", "fused-loss", "fused"):
        yield {**size, **_types("fp32", "fp32", "bf16"), "method": "lora-fa", "kernels": kernels}


def large() -> Iterator[Spec]:
    """Large bases, with and without quantization."""
    for model in LARGE:
        for changes in _on_a_large_base():
            yield {"model": model, "batch": 1, "seq": 1024, **changes}


def kbit() -> Iterator[Spec]:
    """What preparing a quantized base changes, under all that reads its types."""
    for method, quantization, autocast, checkpointing in product(
        ADAPTERS, ("nf4", "int8"), ("none", "bf16"), ("none", "full")
    ):
        more = {"quantization": quantization, "checkpointing": checkpointing, "kbit_prepare": True}
        yield {
            "model": "llama-3.2-1b", "batch": 2, "seq": 1024, "method": method,
            **_types("bf16", "fp32", autocast), **more,
        }  # fmt: skip


#: The cells of each table, by its name in reports/h200-steps.
TABLES = {"cells": cells, "large": large, "kbit": kbit}


def _types(dtype: str, adapter_dtype: str, autocast: str = "none") -> Spec:
    return {"dtype": dtype, "adapter_dtype": adapter_dtype, "autocast": autocast}


def _autocast(model: str) -> Iterator[Spec]:
    for autocast in ("bf16", "fp16"):
        # A classifier head trains in the base's type, which fp16 wants in fp32.
        base = "fp32" if model == "roberta-large" and autocast == "fp16" else "bf16"
        for checkpointing in ("none", "full"):
            more = {"checkpointing": checkpointing, "max_grad_norm": 1.0}
            yield {"method": "full-ft", **_types("fp32", "fp32", autocast), **more}
            for method in ADAPTERS:
                yield {"method": method, **_types(base, "fp32", autocast), **more}
    for method in (*ADAPTERS, "peft-lora-fa"):
        yield {"method": method, **_types("fp32", "fp32", "bf16")}
    yield {"method": "full-ft", **_types("bf16", "bf16", "bf16")}
    for method in ("full-ft", "lora-fa"):
        yield {"method": method, **_types("fp32", "fp32", "fp16"), "optimizer": "adamw-foreach"}
    yield {"method": "lora", **_types("fp32", "fp32", "fp16"), "optimizer": "sgd", "accumulation": 2}


def _quantized() -> Iterator[Spec]:
    for method in ADAPTERS:
        for quantization in ("nf4", "int8"):
            for checkpointing in ("none", "full"):
                more = {"quantization": quantization, "checkpointing": checkpointing}
                yield {"method": method, **_types("bf16", "bf16"), **more}
        more = {"quantization": "nf4", "double_quant": True}
        yield {"method": method, **_types("bf16", "fp32", "bf16"), **more}


def _on_a_large_base() -> Iterator[Spec]:
    for method in ("lora", "lora-fa"):
        for checkpointing in ("none", "full"):
            more = {"method": method, "checkpointing": checkpointing}
            yield {**more, **_types("bf16", "fp32", "bf16")}
            yield {**more, **_types("bf16", "fp32", "bf16"), "quantization": "nf4", "double_quant": True}
            for quantization in ("nf4", "int8"):
                yield {**more, **_types("bf16", "bf16"), "quantization": quantization}
    yield {"method": "full-ft", **_types("bf16", "bf16"), "optimizer": "adamw-8bit"}


def _optimizers() -> Iterator[Spec]:
    for optimizer in OPTIMIZERS:
        yield {"method": "full-ft", **_types("bf16", "bf16"), "optimizer": optimizer}
    yield {"method": "full-ft", **_types("bf16", "bf16"), "update": "backward"}
    more = {"optimizer": "adamw-8bit", "checkpointing": "full-reentrant"}
    yield {"method": "lora-fa", **_types("bf16", "bf16"), **more}


def cell_of(spec: Spec, device: str, gpu: str) -> Cell:
    """The cell of `spec` on `device`."""
    settings = {
        "attention": "sdpa",
        "kernels": "eager",
        "checkpointing": "none",
        "optimizer": "adamw",
        **spec,
    }
    method = METHODS[settings.pop("method")]
    given = {} if method.name == "full-ft" else {"rank": 16, "targets": "all-linear"}
    options = validated_options(method, given)
    model = ModelChoice(name=settings.pop("model"))
    choice = MethodChoice(name=method.name, options=options)
    return Cell(
        model=model, method=choice, device=device, gpu=gpu, steps=Steps(warmup=3, timed=1), **settings
    )


def spec_of(row: Mapping[str, str]) -> Spec:
    """The changes that a line of the table was made of."""
    kinds = {
        "batch": int, "seq": int, "accumulation": int, "max_grad_norm": float,
        "double_quant": "True".__eq__, "kbit_prepare": "True".__eq__,
    }  # fmt: skip
    return {name: kinds.get(name, str)(row[name]) for name in SETTINGS if row[name]}


def _memory(spec: Spec, device: str, gpu: str, end: Any) -> None:
    run = measure if device == "cuda" else predict
    end.send(run(cell_of(spec, device, gpu)).details.get("memory"))


def _forked(spec: Spec, device: str, gpu: str) -> Any:
    """The memory of a cell in a process of its own; None if it ended without."""
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    process = context.Process(target=_memory, args=(spec, device, gpu, there))
    process.start()
    there.close()
    try:
        memory = here.recv()
    except EOFError:
        memory = None
    process.join()
    return memory


def line(spec: Spec, measured: Any, predicted: Any) -> Spec:
    """A line of the table, from the memory of both sides."""
    row: Spec = {name: spec.get(name, "") for name in SETTINGS}
    for side, memory in zip(SIDES, (measured, predicted), strict=True):
        metrics = metrics_of(memory) if memory else dict.fromkeys(METRICS, "")
        row |= {f"{side}_{metric}": value for metric, value in metrics.items()}
    if not (measured and predicted):
        return row
    for counter in COUNTERS:
        differences = [
            predicted["phases"][phase][point][counter] - points[point][counter]
            for phase, points in measured["phases"].items()
            for point in ("start", "peak", "end")
        ]
        row[f"worst_{counter}_off_bytes"] = max(differences, key=abs)
    is_off = any(row[f"worst_{counter}_off_bytes"] for counter in COUNTERS)
    return row | {"why": "unknown" if is_off else ""}


def main() -> None:
    """Run the cells of the table that is named."""
    if len(sys.argv) != 2 or sys.argv[1] not in TABLES:
        sys.exit(f"usage: python benchmarks/steps.py {'|'.join(TABLES)}")
    if not torch.cuda.is_available():
        sys.exit("benchmarks/steps.py: this needs a CUDA GPU")
    name = gpu_here().name
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    chosen = list(TABLES[sys.argv[1]]())
    with ThreadPoolExecutor(4) as on_gpu, ThreadPoolExecutor(8) as on_twin:
        measured = [on_gpu.submit(_forked, spec, "cuda", name) for spec in chosen]
        predicted = [on_twin.submit(_forked, spec, twin_device(name), name) for spec in chosen]
        for spec, gpu, twin in zip(chosen, measured, predicted, strict=True):
            writer.writerow(line(spec, gpu.result(), twin.result()))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
