"""FLOPs of a step, counted from the operations executed, by phase and by module.

Attention is counted in full, also where a kernel skips the masked half. Only products count: element-wise
work is below a percent of a transformer's step. A product without a formula is named.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lorafa_prof.instruments.flops.formulas import OF_8BIT_FLOATS, formula_of
from lorafa_prof.instruments.flops.products import is_product
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.parallel.local import has_sharded
from lorafa_prof.step import Phase


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one step, all its micro-batches together.

    Attributes:
        by_phase: FLOPs executed in each phase that ran.
        recomputed: the part of backward that ran forward's operations again (checkpointing).
        by_module: path → (forward, backward), a module's own operations and not its children's; recomputed
            ones are in backward. The empty path has what ran outside of all modules.
        fp8: the part of `model` that is of products of 8-bit floats, which GPUs have another peak for.
        uncounted: operations without a formula and how often they ran.
        uncounted_products: those of them that are matrix products: by so much the FLOPs are too few.
    """

    by_phase: dict[Phase, int]
    recomputed: int
    by_module: dict[str, tuple[int, int]]
    uncounted: dict[str, int]
    uncounted_products: dict[str, int] = field(default_factory=dict)
    fp8: int = 0

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
        self._by_phase: dict[Phase, int] = {}
        self._recomputed = 0
        self._fp8 = 0
        self._by_module: dict[Phase, Counter[str]] = {"forward": Counter(), "backward": Counter()}
        self._uncounted: Counter[str] = Counter()
        self._uncounted_products: Counter[str] = Counter()

    def __enter__(self) -> FlopCounter:
        self._modules.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)  # type: ignore[no-untyped-call]
        self._modules.__exit__(*exc)

    def phase_started(self, phase: Phase) -> None:
        """Count the FLOPs of operations into this phase from now on."""
        self._by_phase.setdefault(phase, 0)
        self._modules.phase_started(phase)

    def phase_ended(self, phase: Phase) -> None:
        """Count operations into no phase until the next one starts."""
        self._modules.phase_ended(phase)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count its FLOPs; of sharded tensors those of this rank."""
        if has_sharded(types):
            return NotImplemented
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = formula_of(func)
        phase = self._modules.phase
        if phase is None:
            return result
        if formula is None:
            name = str(func._overloadpacket)
            self._uncounted[name] += 1
            if is_product(name, (args, kwargs), result):
                self._uncounted_products[name] += 1
            return result
        flops = int(formula(*args, **kwargs, out_val=result))
        self._by_phase[phase] += flops
        if phase in self._by_module:
            self._by_module[phase][self._modules.path] += flops
        if self._modules.recomputing:
            self._recomputed += flops
        elif func._overloadpacket in OF_8BIT_FLOATS:
            self._fp8 += flops
        return result

    def count(self) -> FlopCount:
        """Return what was counted."""
        forward, backward = self._by_module["forward"], self._by_module["backward"]
        return FlopCount(
            by_phase=dict(self._by_phase),
            recomputed=self._recomputed,
            fp8=self._fp8,
            by_module={path: (forward[path], backward[path]) for path in sorted({*forward, *backward})},
            uncounted=dict(sorted(self._uncounted.items())),
            uncounted_products=dict(sorted(self._uncounted_products.items())),
        )
