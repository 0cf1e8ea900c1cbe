"""Attention by flash-attention's own packages, versions 2 and 3, as transformers calls them in training."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lorafa_prof.devices.sim.kernels.attention_flash import key_splits
from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.layers.flash_attention.operations import backward_2, backward_3, forward_2, forward_3

FLOAT_BYTES = 4
#: Rows of a query that kernels of version 2 work on at most; their buffers have so many more for a sequence.
ROWS_2 = 128
#: Most sequences for which version 3 plans their blocks beforehand.
PLANNED_3 = 992


def _rounded(number: int, to: int) -> int:
    return -(-number // to) * to


def _arguments(func: Any, args: Any) -> Any:
    """Return all arguments of a call; a dispatch mode is not given those at the end that are the default."""
    return (*args, *(argument.default_value for argument in func._schema.arguments[len(args) :]))


def _dense(step: Execution, *tensors: Tensor) -> list[Any]:
    """Take copies of those tensors whose last dimension is not dense."""
    return [step.take(numel_bytes(tensor)) for tensor in tensors if tensor.stride(-1) != 1]


def _forward_2(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    q, k, v, *_, dropout = _arguments(func, args)
    copies = _dense(step, q, k, v)
    out, lse, rng_state = func(*args, **kwargs)
    step.born(out, lse)
    held = []
    if q.dim() == 4 and dropout == 0.0:
        batch, length, heads, width = q.shape
        splits = key_splits(step.machine, batch * heads, length, k.size(1), width)
        rows = splits * batch * heads * length
        if splits > 1:
            held = [step.take(FLOAT_BYTES * rows), step.take(FLOAT_BYTES * rows * _width_2(width))]
    step.born(rng_state)
    step.give_back(*reversed(held), *copies)
    return out, lse, rng_state


def _width_2(width: int) -> int:
    return _rounded(width, 32 if width <= 128 else 64)


def _backward_2(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    args = _arguments(func, args)
    dout, q, k, v, out = args[:5]
    lengths, deterministic = args[9], args[13]
    copies = _dense(step, dout, q, k, v, out)
    *_, heads, width = q.shape
    if lengths is None:
        batch = q.size(0)
        rows = batch * _rounded(q.size(1), ROWS_2)
    else:
        batch = len(lengths) - 1
        rows = q.size(0) + ROWS_2 * batch
    parts = -(-step.machine.multiprocessors // (batch * heads)) if deterministic else 1
    held = [
        step.take(FLOAT_BYTES * heads * rows),
        step.take(FLOAT_BYTES * parts * heads * rows * _width_2(width)),
    ]
    if k.size(-2) != heads:
        held += [step.take(numel_bytes(x) // x.size(-2) * heads) for x in (k, v)]
    step.give_back(*reversed(held), *copies)


def _forward_3(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    q, k, v, lengths, *_, causal, window = _arguments(func, args)
    copies = _dense(step, q, k, v)
    out, lse = func(*args, **kwargs)
    step.born(out, lse)
    if lengths is not None:
        batch = len(lengths) - 1
        plan = [step.take(FLOAT_BYTES * (1 + (batch if batch <= PLANNED_3 else 0)))]
    else:
        limited = causal or window[0] >= 0 or window[1] >= 0
        plan = [step.take(FLOAT_BYTES)] if limited and q.size(1) > 1 else []
    step.give_back(*plan, *copies)
    return out, lse


def _backward_3(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    args = _arguments(func, args)
    dout, q, k, v, out = args[:5]
    lengths, _, longest_q, longest_k, causal, window, softcap, deterministic = args[9:]
    copies = _dense(step, dout, q, k, v, out)
    *_, heads, width = q.shape
    groups, width = k.size(-2), _width_3(width)
    varlen = lengths is not None
    longest_q, longest_k = (longest_q, longest_k) if varlen else (q.size(1), k.size(1))
    local = not causal and (0 <= window[0] < longest_k - 1 or 0 <= window[1] < longest_q - 1)
    block_q, block_k = _rows_3(width, causal, local, softcap), _columns_3(width)
    batch = len(lengths) - 1 if varlen else q.size(0)
    rows_q, rows_k = (
        _rounded(x.size(0) + batch * block, block) if varlen else batch * _rounded(x.size(1), block)
        for x, block in ((q, block_q), (k, block_k))
    )
    # The sums over rows and the scores' maxima, the queries' gradients, and in float32 those of keys and
    # values that queries share.
    held = [step.take(FLOAT_BYTES * heads * rows_q) for _ in range(2)]
    held.append(step.take(FLOAT_BYTES * heads * rows_q * width))
    if groups != heads:
        held += [step.take(FLOAT_BYTES * groups * rows_k * width) for _ in range(2)]
    turns = [step.take(FLOAT_BYTES * -(-longest_q // block_q) * batch * heads)]
    if groups != heads and deterministic:
        turns += [step.take(FLOAT_BYTES * -(-longest_k // block_k) * batch * groups) for _ in range(2)]
    step.give_back(*reversed(turns), *held, *copies)


def _width_3(width: int) -> int:
    return next(rounded for rounded in (64, 96, 128, 192, 256) if width <= rounded)


def _rows_3(width: int, causal: bool, local: bool, softcap: float) -> int:
    """Return how many rows of a query a block of backward has on Hopper."""
    if width <= 64:
        return 96 if causal and softcap > 0.0 else 128
    if 96 < width <= 128:
        return 64 if causal or local or softcap > 0.0 else 80
    return 64


def _columns_3(width: int) -> int:
    """Return how many keys a block of backward has on Hopper."""
    return 128 if width <= 128 else 96 if width <= 192 else 80


KERNELS = (
    Kernel(
        name="flash-attention 2",
        ops=(forward_2.default,),
        model=_forward_2,
        formula="the random state, 16 bytes; partial results where keys are split",
        source="flash-attn 2.8.3: csrc/flash_attn/flash_api.cpp, mha_fwd, mha_varlen_fwd; no GPU trace",
        holds_for="flash-attn 2.8.3",
    ),
    Kernel(
        name="flash-attention 2 backward",
        ops=(backward_2.default,),
        model=_backward_2,
        formula=(
            "4·h·S·(D + 1) bytes, S: b times s to a multiple of 128, or of variable length Σs + 128·b, D: "
            "d to one of 32, above 128 of 64; with grouped heads keys' and values' gradients for each head"
        ),
        source="flash-attn 2.8.3: csrc/flash_attn/flash_api.cpp, mha_bwd, mha_varlen_bwd; no GPU trace",
        holds_for="flash-attn 2.8.3",
    ),
    Kernel(
        name="flash-attention 3",
        ops=(forward_3.default,),
        model=_forward_3,
        formula="4 bytes where attention is causal or in windows, 4 for each sequence of variable length",
        source="flash-attention 0e79d71: hopper/flash_api.cpp, mha_fwd; no GPU trace",
        holds_for="flash-attention 3 on Hopper",
    ),
    Kernel(
        name="flash-attention 3 backward",
        ops=(backward_3.default,),
        model=_backward_3,
        formula=(
            "4·h·S·(D + 2) bytes, S: b times s to a multiple of a block's rows, D: d to 64, 96, 128, 192 or "
            "256; with grouped heads the gradients of keys and values in float32"
        ),
        source="flash-attention 0e79d71: hopper/flash_api.cpp, mha_bwd; no GPU trace",
        holds_for="flash-attention 3 on Hopper",
    ),
)
