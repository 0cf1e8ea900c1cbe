"""PyTorch's flex attention as it is once compiled, on shapes alone: for the twin, where nothing is compiled.

Read in PyTorch 2.13: what autograd keeps in `torch/_higher_order_ops/flex_attention.py`, what the compiled
functions return in `torch/nn/attention/flex_attention.py` and `torch/_inductor/kernel/flex/`. What they
allocate beside is in `lorafa_prof/devices/sim/kernels/attention_flex.py`.

Shapes are q [b, h, q, d], k [b, g, k, d], v [b, g, k, e].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import AuxRequest

#: Queries and keys of a block of a mask (_DEFAULT_SPARSE_BLOCK_SIZE).
BLOCK = 128
#: Narrower heads than these the compiled kernel does not take.
NARROWEST_HEAD = 16

_LIBRARY = torch.library.Library("lorafa_prof", "FRAGMENT")
_LIBRARY.define(
    "flex_attention_forward(Tensor q, Tensor k, Tensor v) -> (Tensor out, Tensor logsumexp, Tensor lse)"
)
_LIBRARY.define(
    "flex_attention_backward(Tensor dout, Tensor dlse, Tensor q, Tensor k, Tensor v, Tensor out, "
    "Tensor logsumexp) -> (Tensor dq, Tensor dk, Tensor dv)"
)


def _forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # The result is laid out as the query is.
    order = (*sorted(range(3), key=q.stride, reverse=True), 3)
    out = torch.empty_permuted((*q.shape[:3], v.shape[3]), order, dtype=q.dtype, device="meta")
    logsumexp, lse = (torch.empty(q.shape[:3], dtype=torch.float32, device="meta") for _ in range(2))
    return out, logsumexp, lse


def _backward(dout: Tensor, dlse: Tensor, q: Tensor, k: Tensor, v: Tensor, *kept: Tensor) -> Any:
    return tuple(torch.empty_like(x, device="meta") for x in (q, k, v))


_LIBRARY.impl("flex_attention_forward", _forward, "Meta")
_LIBRARY.impl("flex_attention_backward", _backward, "Meta")

forward: Any = torch.ops.lorafa_prof.flex_attention_forward
backward: Any = torch.ops.lorafa_prof.flex_attention_backward


class FlexAttention(torch.autograd.Function):
    """Flex attention, and the logarithms of the sums of its scores."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, read: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the result [b, h, q, e] and the logarithms [b, h, q]; `read` is what else kernels read."""
        out, logsumexp, lse = forward(q, k, v)
        # The logarithms are kept to base 2, and others returned.
        ctx.save_for_backward(q, k, v, out, logsumexp, *read)
        return out, lse

    @staticmethod
    def backward(ctx: Any, dout: Tensor, dlse: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of q, k and v; that of logarithms that nobody used comes as zeros."""
        return (*backward(dout, dlse, *ctx.saved_tensors[:5]), None)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Tensor],
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict[str, Any] | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """Return what PyTorch's function of this name does.

    Raises:
        UsageError: heads are too narrow, or a tensor that scores are changed by is trained.
    """
    width = min(query.shape[-1], value.shape[-1])
    if width < NARROWEST_HEAD:
        raise UsageError(
            f"attention 'flex': the model's heads are {width} wide, and the compiled kernel takes "
            f"{NARROWEST_HEAD} at least",
            about="attention",
        )
    changing = tuple(_captured(score_mod))
    if any(tensor.requires_grad for tensor in changing):
        raise UsageError(
            "attention 'flex': the model trains a bias of its scores, whose gradient is not modelled; sdpa's "
            "and eager's is",
            about="attention",
        )
    if torch.is_autocast_enabled("cuda"):
        computed = torch.get_autocast_dtype("cuda")
        query, key, value = (x.to(computed) for x in (query, key, value))
    read = (*_read_for(block_mask), *changing)
    out, lse = FlexAttention.apply(query, key, value, read)  # type: ignore[no-untyped-call]
    if return_aux is not None:
        # PyTorch has it from 2.9 on, and nobody asks for it before.
        from torch.nn.attention.flex_attention import AuxOutput

        return out, AuxOutput(lse=lse if return_aux.lse else None)
    return (out, lse) if return_lse else out


def create_block_mask(
    mask_mod: Callable[..., Tensor],
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = "cuda",
    **options: Any,
) -> BlockMask:
    """Return a mask by blocks as PyTorch's function of this name does once compiled, which forms no full one.

    For each row of blocks there are the number and the places of those that the mask cuts through, and of
    those that it leaves whole; and the same for each column.
    """
    rows, columns = -(-Q_LEN // BLOCK), -(-KV_LEN // BLOCK)
    shapes = {"kv": (rows, columns), "q": (columns, rows)}
    tensors: dict[str, Any] = {
        name: torch.empty(
            B or 1,
            H or 1,
            *shapes[line][: 1 if what == "num_blocks" else 2],
            dtype=torch.int32,
            device=device,
        )
        for name, line, what in _OF_A_MASK
    }
    return BlockMask((Q_LEN, KV_LEN), BLOCK_SIZE=(BLOCK, BLOCK), mask_mod=mask_mod, **tensors)


#: Name, line and kind of each tensor of a mask.
_OF_A_MASK = tuple(
    (f"{part}{line}_{what}", line, what)
    for line in ("kv", "q")
    for part in ("", "full_")
    for what in ("num_blocks", "indices")
)


def _read_for(mask: BlockMask | None) -> Iterator[Tensor]:
    """Yield the tensors that kernels read for a mask: its own, and those that its function knows."""
    if mask is not None:
        yield from (getattr(mask, name) for name, *_ in _OF_A_MASK)
        yield from _captured(mask.mask_mod)


def _captured(value: Any) -> Iterator[Tensor]:
    """Yield the tensors that a function knows from where it was made, and the functions in it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _captured(item)
    else:
        for cell in getattr(value, "__closure__", None) or ():
            yield from _captured(cell.cell_contents)
