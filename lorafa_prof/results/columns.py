"""The columns of results.csv: name, unit, meaning. A contract: columns are only ever added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["identity", "setting", "size", "memory", "compute", "time", "energy", "fidelity", "learning"]
Status = Literal["ok", "oom", "error", "timeout", "skipped"]


@dataclass(frozen=True)
class Column:
    """One column of the results table. An unknown value is empty, never 0.

    `better` is the direction in which a metric improves; empty if neither direction is better.
    """

    name: str
    group: Group
    unit: str
    meaning: str
    better: Literal["lower", "higher", ""] = ""


COLUMNS: tuple[Column, ...] = (
    Column("cell_id", "identity", "", "name of the cell, unique and stable over runs"),
    Column("status", "identity", "", "ok, oom, error, timeout or skipped"),
    Column("failed_phase", "identity", "", "build, forward, backward, optimizer or collect, where it failed"),
    Column("message", "identity", "", "why it failed, or what could not be measured"),
    Column("model", "setting", "", "preset, path or hub id"),
    Column("method", "setting", "", "which weights train and how"),
    Column("rank", "setting", "", "rank r of the adapters"),
    Column("targets", "setting", "", "which linear layers have adapters"),
    Column("dropout", "setting", "", "dropout probability on the adapters' input"),
    Column("batch", "setting", "samples", "samples per micro-batch, of which a step has `accumulation`"),
    Column("seq", "setting", "tokens", "tokens per sample; of a run of lengths the longest"),
    Column("dtype", "setting", "", "data type of the base weights"),
    Column("adapter_dtype", "setting", "", "data type of the adapters"),
    Column("attention", "setting", "", "attention implementation"),
    Column("kernels", "setting", "", "kernels of norms, activations and loss"),
    Column("checkpointing", "setting", "", "which activations are recomputed or offloaded"),
    Column("optimizer", "setting", "", "optimizer"),
    Column("device", "setting", "", "cuda, cpu or sim:<gpu>"),
    Column("gpu", "setting", "", "the GPU measured or predicted; empty on the CPU"),
    Column("params_total", "size", "parameters", "parameters of the model, adapters included"),
    Column("params_trainable", "size", "parameters", "parameters that receive gradients"),
    Column(
        "weights_bytes",
        "memory",
        "bytes",
        "distinct storages of parameters and buffers; no buffers left on the host",
        "lower",
    ),
    Column("gradients_bytes", "memory", "bytes", "gradients of parameters at the end of backward", "lower"),
    Column("optimizer_bytes", "memory", "bytes", "optimizer state on the device", "lower"),
    Column(
        "activation_bytes", "memory", "bytes", "allocated at the end of forward less start of step", "lower"
    ),
    Column(
        "saved_bytes", "memory", "bytes", "distinct storages autograd holds at the end of forward", "lower"
    ),
    Column("peak_allocated_bytes", "memory", "bytes", "peak of allocated over one steady step", "lower"),
    Column("peak_forward_bytes", "memory", "bytes", "peak of allocated in forward", "lower"),
    Column("peak_backward_bytes", "memory", "bytes", "peak of allocated in backward", "lower"),
    Column("peak_optimizer_bytes", "memory", "bytes", "peak of allocated in the optimizer phase", "lower"),
    Column("peak_reserved_bytes", "memory", "bytes", "peak of reserved over the whole process", "lower"),
    Column("device_used_bytes", "memory", "bytes", "memory in use on the whole device, by NVML", "lower"),
    Column("host_rss_bytes", "memory", "bytes", "peak resident set of the process on the host", "lower"),
    Column("flops_forward", "compute", "FLOP", "operations executed in forward", "lower"),
    Column("flops_backward", "compute", "FLOP", "operations executed in backward", "lower"),
    Column("flops_step", "compute", "FLOP", "operations executed in the whole step", "lower"),
    Column(
        "mfu",
        "compute",
        "",
        "seconds that model FLOPs (nothing recomputed) take at the GPU's peaks, over the median step's",
        "higher",
    ),
    Column("step_ms_median", "time", "ms", "median time of a step", "lower"),
    Column("step_ms_p05", "time", "ms", "5th percentile of the time of a step", "lower"),
    Column("step_ms_p95", "time", "ms", "95th percentile of the time of a step", "lower"),
    Column("forward_ms", "time", "ms", "median time of forward", "lower"),
    Column("backward_ms", "time", "ms", "median time of backward", "lower"),
    Column("optimizer_ms", "time", "ms", "median time of the optimizer phase", "lower"),
    Column(
        "tokens_per_s",
        "time",
        "tokens/s",
        "batch × accumulation × (seq, and tokens beside it of images and sound) × GPUs over the median step",
        "higher",
    ),
    Column(
        "samples_per_s", "time", "samples/s", "batch × accumulation × GPUs over the median step", "higher"
    ),
    Column(
        "energy_j_per_token",
        "energy",
        "J/token",
        "board energy of the timed pass per token, by NVML",
        "lower",
    ),
    Column("padding", "setting", "", "share of a batch's last sequence that is padding"),
    Column("accumulation", "setting", "", "micro-batches per step"),
    Column("max_grad_norm", "setting", "", "norm to which gradients are clipped; empty if they are not"),
    Column("marks", "identity", "", "what makes the row worth less than others; empty if nothing does"),
    Column(
        "update", "setting", "", "backward if each weight is updated in backward; empty if at the step's end"
    ),
    Column(
        "quantization",
        "setting",
        "",
        "how the frozen base is quantized: nf4, fp4, int8, fp8; empty if it is not",
    ),
    Column("double_quant", "setting", "", "true: statistics of 4-bit weights are quantized too; else empty"),
    Column(
        "autocast", "setting", "", "type in which autocast computes: bf16 or fp16; empty if nothing is cast"
    ),
    Column(
        "kbit_prepare",
        "setting",
        "",
        "true: what of a quantized base is not packed is in fp32, as PEFT prepares it; else empty",
    ),
    Column("phase", "setting", "", "eval if an evaluation is measured; empty if a training step"),
    Column(
        "kept_logits", "setting", "", "batches of an evaluation whose logits it keeps; empty if none are kept"
    ),
    Column("lengths", "setting", "", "tokens per sample in each step of a run; empty if all have seq"),
    Column(
        "packing",
        "setting",
        "",
        "true: a batch's samples are documents in one row, without padding; else empty",
    ),
    Column(
        "loss",
        "setting",
        "",
        "chunked: logits are made a chunk of tokens at a time; empty: all are there at once",
    ),
    Column(
        "launch",
        "setting",
        "",
        "graph: the step is captured once and replayed as CUDA graphs; empty: kernels are launched singly",
    ),
    Column("parallel", "setting", "", "ddp or fsdp2: how a step is spread over GPUs; empty if it is not"),
    Column("gpus", "setting", "", "GPUs that run the step together, each on `batch` samples; empty if one"),
    Column("shard", "setting", "", "what of fsdp2's sharding is not at its default; empty if all is"),
    Column("tokens_per_s_per_gpu", "time", "tokens/s", "tokens_per_s over the number of GPUs", "higher"),
    Column(
        "fidelity_distance",
        "fidelity",
        "",
        "how far a plain step's change of the adapted weights is from their full gradient, relatively",
        "lower",
    ),
    Column("fidelity_cosine", "fidelity", "", "cosine between that change and the full gradient", "higher"),
    Column(
        "fidelity_floor",
        "fidelity",
        "",
        "the least distance that a small change of the adapters can have",
        "lower",
    ),
    Column(
        "base_error",
        "fidelity",
        "",
        "how far a plain step is from the one over the base before it was quantized, relatively",
        "lower",
    ),
    Column("base_cosine", "fidelity", "", "cosine between these two steps", "higher"),
)

COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
METRICS: tuple[Column, ...] = tuple(
    column for column in COLUMNS if column.group not in ("identity", "setting")
)
