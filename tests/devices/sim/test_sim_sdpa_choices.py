"""The attention kernels that an H100 takes, asked of it (`torch._fused_sdp_choice`, torch 2.11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lorafa_prof.devices.sim.attention import Attention, choose
from lorafa_prof.devices.sim.machine import Machine

TOLD = json.loads((Path(__file__).parent / "data" / "sdpa_choices_h100.json").read_text())
H100 = Machine((9, 0), 132)
DEFAULTS = {
    "heads": 4,
    "kv": None,
    "q": 64,
    "k": None,
    "d": 64,
    "dv": None,
    "dtype": "bfloat16",
    "layout": "bhsd",
    "mask": None,
    "causal": False,
    "dropout": 0.0,
    "gqa": False,
    "grad": True,
}


def tensor(shape: tuple[int, int, int, int], dtype: torch.dtype, layout: str, grad: bool) -> Tensor:
    b, h, s, d = shape
    if layout == "bshd":
        x = torch.zeros(b, s, h, d, dtype=dtype, device="meta").transpose(1, 2)
    elif layout == "packed":
        x = torch.zeros(b, s, 3, h, d, dtype=dtype, device="meta")[:, :, 0].transpose(1, 2)
    elif layout == "bhds":
        x = torch.zeros(b, h, d, s, dtype=dtype, device="meta").transpose(2, 3)
    else:
        x = torch.zeros(b, h, s, d, dtype=dtype, device="meta")
    return x.requires_grad_(grad)


def mask_of(told: str, heads: int, queries: int, keys: int, dtype: torch.dtype) -> Tensor:
    kind, name = told.split(":")
    shape: tuple[int, ...] = {
        "2": (queries, keys),
        "3": (2, queries, keys),
        "b11": (2, 1, 1, keys),
        "b1": (2, 1, queries, keys),
        "bh": (2, heads, queries, keys),
        "k1": (2, 1, queries, 1),
    }[name]
    if kind == "bool":
        return torch.ones(shape, dtype=torch.bool, device="meta")
    if kind == "strided":
        return torch.zeros(*shape[:-2], shape[-1], shape[-2], dtype=dtype, device="meta").transpose(-1, -2)
    return torch.zeros(shape, dtype=dtype, device="meta").requires_grad_(kind == "grad")


def call(case: dict[str, Any]) -> Attention:
    c = DEFAULTS | case
    dtype = getattr(torch, c["dtype"])
    heads, keys, wide = c["kv"] or c["heads"], c["k"] or c["q"], c["dv"] or c["d"]
    query = tensor((2, c["heads"], c["q"], c["d"]), dtype, c["layout"], c["grad"])
    key = tensor((2, heads, keys, c["d"]), dtype, c["layout"], c["grad"])
    value = tensor((2, heads, keys, wide), dtype, c["layout"], c["grad"])
    mask = mask_of(c["mask"], c["heads"], c["q"], keys, dtype) if c["mask"] else None
    return Attention(query, key, value, mask, c["dropout"], c["causal"], None, c["gqa"])


@pytest.mark.parametrize(
    "case", TOLD["cases"], ids=lambda case: " ".join(f"{k}={v}" for k, v in case.items() if k != "choice")
)
def test_the_twin_takes_the_kernel_that_the_gpu_takes(case: dict[str, Any]) -> None:
    told = {name: value for name, value in case.items() if name != "choice"}
    assert choose(call(told), H100) == case["choice"]
