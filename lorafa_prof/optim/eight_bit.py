"""AdamW with 8-bit states, and paged ones, of bitsandbytes; on shapes alone nothing of it is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch.optim import Optimizer

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError, described
from lorafa_prof.optim.eight_bit_shapes import EightBitShapes
from lorafa_prof.optim.optimizer import LEARNING_RATE, OptimizerChoice
from lorafa_prof.shapes_only import has_values

PLAIN, PAGED = "adamw-8bit", "paged-adamw-8bit"
#: What trains by bitsandbytes, wherever it is not on shapes alone.
BY_BITSANDBYTES = (PLAIN, PAGED)
#: Types of weights and gradients that its kernels take (bitsandbytes/backends/cuda/ops.py).
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_NOT_ON_A_CPU = (
    "is for a GPU, and this runs on a CPU; set device to cuda or to the twin of a GPU (sim:h100-80gb), "
    "or optimizer to adamw"
)
_MISSING = (
    "runs bitsandbytes, which is not installed: pip install 'lorafa-prof[gpu]'; the twin of a GPU "
    "(sim:h100-80gb) needs none of it"
)


def _refuses(cell: Cell) -> str:
    if cell.device_kind == "cpu":
        return _NOT_ON_A_CPU
    if cell.device_kind == "cuda" and find_spec("bitsandbytes") is None:
        return _MISSING
    return ""


def _make(paged: bool, params: list[torch.nn.Parameter]) -> Optimizer:
    name = PAGED if paged else PLAIN
    for param in params:
        if param.dtype not in _DTYPES:
            raise UsageError(
                f"optimizer '{name}' trains weights in fp32, bf16 and fp16, and some are "
                f"{str(param.dtype).removeprefix('torch.')}; set dtype and adapter_dtype to one of these, "
                "or optimizer to adamw",
                about="optimizer",
            )
    if any(not has_values(param.device) for param in params):
        return EightBitShapes(params, lr=LEARNING_RATE, paged=paged)
    if any(param.device.type == "cpu" for param in params):
        raise UsageError(f"optimizer '{name}' {_NOT_ON_A_CPU}", about="optimizer")
    optimizer: Optimizer = _class_of_bitsandbytes(name, paged)(params, lr=LEARNING_RATE)
    return optimizer


def _class_of_bitsandbytes(name: str, paged: bool) -> Callable[..., Any]:
    try:
        optimizers = import_module("bitsandbytes.optim")
    except ModuleNotFoundError as error:
        raise UsageError(f"optimizer '{name}' {_MISSING} ({error})", about="optimizer") from error
    except Exception as error:
        raise UsageError(
            f"optimizer '{name}': bitsandbytes cannot be loaded ({described(error)}); repair or update it",
            about="optimizer",
        ) from error
    chosen: Callable[..., Any] = optimizers.PagedAdamW8bit if paged else optimizers.AdamW8bit
    return chosen


def managed_bytes(optimizer: Optimizer) -> int:
    """Return the bytes of state that `optimizer` keeps in managed memory, which no allocator counts."""
    return sum(
        int(value.nbytes)
        for state in optimizer.state.values()
        if isinstance(state, dict)
        for value in state.values()
        if getattr(value, "is_paged", False)
    )


OPTIMIZERS_HERE = (
    OptimizerChoice(
        PLAIN,
        "bitsandbytes' AdamW with 8-bit states (extra: gpu)",
        partial(_make, False),
        _refuses,
        shards=False,
    ),
    OptimizerChoice(
        PAGED,
        "the same with large states in memory that GPU and host share (extra: gpu)",
        partial(_make, True),
        _refuses,
        shards=False,
    ),
)
