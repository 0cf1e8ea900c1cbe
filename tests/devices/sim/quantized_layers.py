"""Steps of one quantized layer, alone or beside an adapter: on a GPU, by bitsandbytes, and on the twin."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear
from lorafa_prof.methods.base import TORCH_DTYPES
from lorafa_prof.methods.peft_quantized import register_stand_ins

SHAPES = ((2048, 2048), (2048, 8192), (8192, 2048), (4096, 1024), (100, 52), (130, 64))
FEW_SHAPES = ((2048, 8192), (4096, 1024))
ROWS = ((2, 1024), (1, 512), (1, 64), (1, 20), (1, 6), (1, 1))
FEW_ROWS = ((2, 1024), (1, 64))
KINDS = (("nf4", False), ("nf4", True), ("fp4", False), ("fp4", True), ("int8", False))

#: From a case, its dense weight and its bias: the quantized layer.
Make = Callable[["Case", Tensor, "nn.Parameter | None"], nn.Module]
#: A context for a part of a step, which keeps what is asked of the allocator meanwhile under a name.
Section = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Case:
    """A layer, its input, and what stands beside it: nothing, lora, lora-fa or peft."""

    kind: str
    double: bool
    dtype: str
    shape: tuple[int, int]
    rows: tuple[int, int]
    bias: bool
    how: str

    def __str__(self) -> str:
        kind = f"{self.kind}{'+dq' if self.double else ''}"
        shape, rows = "->".join(map(str, self.shape)), "x".join(map(str, self.rows))
        return f"{kind} {self.dtype} {shape} x{rows}{' bias' if self.bias else ''} {self.how}"

    @property
    def is_asked(self) -> bool:
        """Whether it is recorded: not all of the product is, only the commoner part of each axis."""
        few = self.shape in FEW_SHAPES and self.rows in FEW_ROWS
        if self.dtype != "bf16" and (not few or self.how == "peft"):
            return False
        if self.how != "bare" and (self.bias or not few):
            return False
        return not (self.bias and self.dtype == "bf16" and self.shape not in ((2048, 2048), (100, 52)))


def cases() -> Iterator[Case]:
    """Yield all cases."""
    for (kind, double), dtype, shape, rows, bias, how in itertools.product(
        KINDS, ("bf16", "fp16", "fp32"), SHAPES, ROWS, (False, True), ("bare", "lora", "lora-fa", "peft")
    ):
        case = Case(kind, double, dtype, shape, rows, bias, how)
        if case.is_asked:
            yield case


def run(case: Case, device: str, make: Make, section: Section) -> None:
    """Build the layer of `case` on `device` and make two steps."""
    gc.disable()
    try:
        dtype = TORCH_DTYPES[case.dtype]
        inputs, outputs = case.shape
        weight = torch.empty(outputs, inputs, device=device, dtype=dtype)
        bias = None
        if case.bias:
            bias = nn.Parameter(torch.zeros(outputs, device=device, dtype=dtype), requires_grad=False)
        if device != "meta":
            weight.normal_(std=0.02)
        with section("build"):
            layer = make(case, weight, bias)
        del weight
        with section("wrap"):
            layer = _beside(layer, case)
        x = torch.empty(*case.rows, inputs, device=device, dtype=dtype)
        if device != "meta":
            x.uniform_(-1, 1)
        x.requires_grad_(True)
        grad = torch.ones(*case.rows, outputs, device=device, dtype=dtype)
        for step in ("first", "second"):
            with section(f"{step} fwd"):
                y = layer(x)
            with section(f"{step} bwd"):
                y.backward(grad)
            with section(f"{step} let go"):
                x.grad = None
                for parameter in layer.parameters():
                    parameter.grad = None
                del y
    finally:
        gc.enable()


def _beside(layer: nn.Module, case: Case) -> Any:
    if case.how == "bare":
        return layer
    if case.how == "peft":
        import peft

        config = peft.LoraConfig(r=8, target_modules=["proj"])
        register_stand_ins(config, layer)
        return peft.get_peft_model(_Net(layer, case.kind), config).train()
    adapted = LoraLinear if case.how == "lora" else LoraFaLinear
    return adapted(layer, rank=8, scale=1.0, dropout=0.0, adapter_dtype=TORCH_DTYPES[case.dtype])


class _Net(nn.Module):
    def __init__(self, layer: nn.Module, kind: str) -> None:
        super().__init__()
        self.proj = layer
        self.is_loaded_in_4bit, self.is_loaded_in_8bit = kind != "int8", kind == "int8"

    def forward(self, x: Tensor) -> Any:
        return self.proj(x)
