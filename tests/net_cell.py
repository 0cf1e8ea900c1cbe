"""A cell of a model that does not exist: for what is done with cells and results, not with models."""

from __future__ import annotations

from typing import Any

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice


def net_cell(batch: int = 1, *, method: str = "lora", device: str = "cpu", **options: Any) -> Cell:
    return Cell(
        model=ModelChoice(name="net"),
        method=MethodChoice(name=method, options=options),
        batch=batch,
        seq=16,
        dtype="fp32",
        adapter_dtype="fp32",
        attention="sdpa",
        kernels="eager",
        checkpointing="none",
        optimizer="adamw",
        device=device,
    )
