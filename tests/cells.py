"""The one place where tests make a cell: each setting has a default, so a test names what it is about."""

from __future__ import annotations

from typing import Any

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, twin_device, twin_gpu

GPU = "h100-80gb"
TWIN = twin_device(GPU)


def make_cell(
    method: str = "lora", *, model: str = "net", options: dict[str, Any] | None = None, **settings: Any
) -> Cell:
    """A cell with these fields of Cell; "net" is no model, for what is done with cells and not with models.

    On a twin its GPU is the twin's, unless `settings` say otherwise.
    """
    fields: dict[str, Any] = {
        "batch": 1,
        "seq": 16,
        "dtype": "fp32",
        "adapter_dtype": "fp32",
        "attention": "sdpa",
        "kernels": "eager",
        "checkpointing": "none",
        "optimizer": "adamw",
        "device": "cpu",
        **settings,
    }
    choices = {
        "model": ModelChoice(name=model),
        "method": MethodChoice(name=method, options=options or {}),
        "gpu": twin_gpu(fields["device"]),
    }
    return Cell(**{**choices, **fields})
