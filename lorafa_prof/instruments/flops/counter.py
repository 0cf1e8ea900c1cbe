"""FLOPs of a step, counted from the operations executed, by phase and by module.

A multiply and an add are two operations, as in PyTorch's own counter, whose formulas are used
(`torch/utils/flop_counter.py`). Attention is counted in full, also where a kernel skips the masked half.
Only products count: element-wise work is below a percent of a transformer's step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.step import Phase

_aten: Any = torch.ops.aten

Formula = Callable[..., int]


def attention_flops(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of attention: the scores, and their product with the values.

    Shapes are query [b, h, q, d], key [b, g, k, d], value [b, g, k, e]. With grouped heads (g < h) every
    query head still meets all keys. Older PyTorch's own formula wants g = h.
    """
    batch, heads, queries, width = query.shape
    return 2 * batch * heads * queries * key.shape[-2] * (width + value.shape[-1])


def attention_backward_flops(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> int:
    """Return the FLOPs of attention's backward: five products for forward's two.

    They are the scores once more, and the gradients of all four factors.
    """
    batch, heads, queries, width = query.shape
    return 2 * batch * heads * queries * key.shape[-2] * (3 * width + 2 * value.shape[-1])


def gemm_4bit_flops(x: Tensor, packed: Tensor, shape: Sequence[int], *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of x [..., in] times a weight of `shape` [out, in], as if it was dense."""
    return 2 * x.numel() * shape[0]


def matmul_8bit_flops(x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of x [..., in] times an 8-bit weight [out, in], as if it was dense."""
    return 2 * x.numel() * weight.shape[0]


def quantized_formula(name: str) -> Formula | None:
    """Return the formula of a product with a quantized weight, by the operation's name; None for others.

    By name, since bitsandbytes need not be installed; and only that of its operations that does the product.
    """
    return _QUANTIZED.get(name)


_QUANTIZED: dict[str, Formula] = {
    "lorafa_prof.gemm_4bit": gemm_4bit_flops,
    "lorafa_prof.linear_8bit": matmul_8bit_flops,
    "bitsandbytes.gemm_4bit": gemm_4bit_flops,
    "bitsandbytes.int8_linear_matmul": matmul_8bit_flops,
}

_ATTENTION = ("flash_attention", "efficient_attention", "cudnn_attention", "fused_attention_overrideable")

#: PyTorch's formulas, with attention's of our own, and those of operations it leaves out (and counts as 0).
FORMULAS: dict[Any, Formula] = {
    **flop_registry,
    _aten.addmm_: flop_registry[_aten.addmm],
    _aten.baddbmm_: flop_registry[_aten.baddbmm],
    **{getattr(_aten, f"_scaled_dot_product_{name}"): attention_flops for name in _ATTENTION},
    **{
        getattr(_aten, f"_scaled_dot_product_{name}_backward"): attention_backward_flops
        for name in _ATTENTION
    },
    _aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one step, all its micro-batches together.

    Attributes:
        by_phase: FLOPs executed in each phase.
        recomputed: the part of backward that ran forward's operations again (checkpointing).
        by_module: path → (forward, backward), a module's own operations and not its children's; recomputed
            ones are in backward. The empty path has what ran outside of all modules.
        uncounted: operations without a formula and how often they ran.
    """

    by_phase: dict[Phase, int]
    recomputed: int
    by_module: dict[str, tuple[int, int]]
    uncounted: dict[str, int]

    @property
    def step(self) -> int:
        """FLOPs executed in the step."""
        return sum(self.by_phase.values())

    @property
    def model(self) -> int:
        """FLOPs that the model needs, without what is recomputed; MFU uses them (arXiv 2204.02311)."""
        return self.step - self.recomputed


class FlopCounter(TorchDispatchMode):
    """A dispatch mode and observer around one step; read `count` after it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._modules = ModulePaths(model)
        self._by_phase: Counter[Phase] = Counter()
        self._recomputed = 0
        self._by_module: dict[Phase, Counter[str]] = {"forward": Counter(), "backward": Counter()}
        self._uncounted: Counter[str] = Counter()

    def __enter__(self) -> FlopCounter:
        self._modules.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)  # type: ignore[no-untyped-call]
        self._modules.__exit__(*exc)

    def phase_started(self, phase: Phase) -> None:
        """Count the FLOPs of operations into this phase from now on."""
        self._modules.phase_started(phase)

    def phase_ended(self, phase: Phase) -> None:
        """Count operations into no phase until the next one starts."""
        self._modules.phase_ended(phase)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count its FLOPs."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = FORMULAS.get(func._overloadpacket) or quantized_formula(str(func._overloadpacket))
        phase = self._modules.phase
        if phase is None:
            return result
        if formula is None:
            self._uncounted[str(func._overloadpacket)] += 1
            return result
        flops = int(formula(*args, **kwargs, out_val=result))
        self._by_phase[phase] += flops
        if phase in self._by_module:
            self._by_module[phase][self._modules.path] += flops
        if self._modules.recomputing:
            self._recomputed += flops
        return result

    def count(self) -> FlopCount:
        """Return what was counted."""
        forward, backward = self._by_module["forward"], self._by_module["backward"]
        return FlopCount(
            by_phase={phase: self._by_phase[phase] for phase in ("forward", "backward", "optimizer")},
            recomputed=self._recomputed,
            by_module={path: (forward[path], backward[path]) for path in sorted({*forward, *backward})},
            uncounted=dict(sorted(self._uncounted.items())),
        )
