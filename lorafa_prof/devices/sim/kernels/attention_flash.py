"""Flash attention 2: no mask, 16 bit, Ampere and later."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel
from lorafa_prof.devices.sim.machine import Machine

aten = torch.ops.aten
RANDOM_STATE_BYTES = 16


def _forward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    query, key = args[:2]
    dropout = args[3] if len(args) > 3 else kwargs.get("dropout_p", 0.0)
    batch, heads, length, width = query.shape
    out = torch.empty_like(query.transpose(1, 2), device="meta").transpose(1, 2)
    lse = torch.empty(batch, heads, length, dtype=torch.float32, device="meta")
    step.born(out, lse)
    splits = key_splits(step.machine, batch * heads, length, key.size(2), width) if dropout == 0.0 else 1
    held = []
    if splits > 1:
        rows = splits * batch * heads * length
        held = [step.take(4 * rows), step.take(4 * rows * _rounded_width(width))]
    seed = torch.empty(2, dtype=torch.uint64, device="meta")
    offset = torch.empty((), dtype=torch.uint64, device="meta")
    step.born(seed, offset)
    if dropout > 0.0:
        step.give_back(step.take(RANDOM_STATE_BYTES))
    step.give_back(*held)
    none = torch.empty(0, dtype=query.dtype, device="meta")
    return out, lse, None, None, length, key.size(2), seed, offset, none


def _backward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    _, query, key, value = args[:4]
    grads = tuple(
        torch.empty_like(tensor.transpose(1, 2), device="meta").transpose(1, 2)
        for tensor in (query, key, value)
    )
    step.born(*grads)
    batch, heads, length, width = query.shape
    rows = batch * heads * (-(-length // 128) * 128)
    held = [step.take(4 * rows), step.take(4 * rows * _rounded_width(width))]
    if key.size(1) != heads:
        held += [step.take(batch * heads * key.size(2) * width * query.element_size()) for _ in range(2)]
    step.give_back(*reversed(held))
    return grads


def _rounded_width(width: int) -> int:
    return -(-width // 32) * 32 if width <= 192 else 256


def key_splits(machine: Machine, groups: int, queries: int, keys: int, width: int) -> int:
    """Return how many blocks a row's keys are split over (flash_api.cpp, num_splits_heuristic)."""
    block = 256 if width <= 64 else 128 if width <= 128 else 64
    key_blocks = -(-keys // block)
    blocks = groups * -(-queries // 64)
    processors = 2 * machine.multiprocessors
    if blocks >= 0.8 * processors:
        return 1
    most = min(128, processors, key_blocks)
    eligible = [n for n in range(1, most + 1) if n == 1 or -(-key_blocks // n) != -(-key_blocks // (n - 1))]
    efficiency = {n: _efficiency(blocks * n / processors) for n in eligible}
    best = max(efficiency.values())
    return next(n for n in eligible if efficiency[n] >= 0.85 * best)


def _efficiency(waves: float) -> float:
    return waves / -(-waves // 1)


KERNELS = (
    Kernel(
        name="flash attention",
        ops=(aten._scaled_dot_product_flash_attention.default,),
        model=_forward,
        formula="the random state, 24 bytes, 16 more with dropout; partial results where keys are split",
        source="ATen/native/transformers/cuda/flash_attn/flash_api.cpp: mha_fwd, set_params_splitkv; H100 "
        "traces without cuDNN",
    ),
    Kernel(
        name="flash attention backward",
        ops=(aten._scaled_dot_product_flash_attention_backward.default,),
        model=_backward,
        formula="4·b·h·S·(D + 1) bytes, S: s to a multiple of 128, D: d to one of 32; with grouped heads "
        "2·b·h·s·2d more",
        source="ATen/native/transformers/cuda/flash_attn/flash_api.cpp: mha_bwd; H100 traces without cuDNN",
    ),
)
