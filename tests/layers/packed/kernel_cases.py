"""Calls of every Triton kernel, beside the same call of its reference in a higher precision.

Run as a program, with TRITON_INTERPRET=1, it holds all kernels against their references on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.layers.packed import gated, loss, low_rank, norm, normed_rotary, part_products, rotary
from lorafa_prof.layers.triton_kernels import cross_entropy as cross_entropy_kernels
from lorafa_prof.layers.triton_kernels import gated as gated_kernels
from lorafa_prof.layers.triton_kernels import low_rank as low_rank_kernels
from lorafa_prof.layers.triton_kernels import normed_rotary as normed_rotary_kernels
from lorafa_prof.layers.triton_kernels import part_products as part_kernels
from lorafa_prof.layers.triton_kernels import rms_norm as norm_kernels
from lorafa_prof.layers.triton_kernels import rotary as rotary_kernels

ROWS, BATCH, LENGTH = 38, 2, 19


@dataclass(frozen=True)
class Case:
    """A call of a kernel and of its reference; both write to the arguments at `written`."""

    name: str
    kernel: Callable[..., None]
    reference: Callable[..., None]
    arguments: tuple[Any, ...]
    written: tuple[int, ...]

    def error(self, device: torch.device) -> float:
        """Return the largest relative error of what the kernel writes, each tensor as a whole."""
        ours = [_on(argument, device, None) for argument in self.arguments]
        wide = [_on(argument, torch.device("cpu"), torch.float64) for argument in self.arguments]
        self.kernel(*ours)
        self.reference(*wide)
        return max(
            float((ours[at].cpu().double() - wide[at]).norm() / wide[at].norm()) for at in self.written
        )


def _on(argument: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """A copy with the same strides, in `dtype` if it is of floats."""
    if not isinstance(argument, Tensor):
        return argument
    kind = dtype if dtype and argument.is_floating_point() else argument.dtype
    copy = torch.empty_strided(argument.shape, argument.stride(), dtype=kind, device=device)
    return copy.copy_(argument)


def _angles(width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = torch.randn(1, LENGTH, width // 2)
    cos, sin = (torch.cat([x, x], -1).to(dtype) for x in (angles.cos(), angles.sin()))
    return cos, sin


def _beside(columns: int, spare: int, dtype: torch.dtype) -> Tensor:
    """A tensor whose rows do not follow each other."""
    return torch.randn(ROWS, columns + spare, dtype=dtype)[:, :columns]


def cases(dtype: torch.dtype, *, products: bool) -> Iterator[Case]:
    """Yield a case of each kernel; without `products` those alone that multiply no matrices."""

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=dtype)

    for width in (80, 256):
        x, weight, rstd = randn(ROWS, width), randn(width), torch.rand(ROWS) + 0.5
        y, spread = _beside(width, 24, dtype), torch.empty(ROWS)
        for offset, rounded in ((0.0, False), (1.0, False)):
            arguments = (x, weight, 1e-5, offset, rounded, y, spread)
            yield Case("rms_norm", norm_kernels.forward, norm._rms_norm, arguments, (5, 6))
            for residual in (None, randn(ROWS, width)):
                backward = (randn(ROWS, width), x, rstd, weight, offset, residual, y)
                yield Case(
                    "rms_norm_backward", norm_kernels.backward, norm._rms_norm_backward, backward, (6,)
                )
    for width in (24, 64):
        q_heads, kv_heads = 4, 2
        packed = _beside((q_heads + 2 * kv_heads) * width, 24, dtype)
        cos, sin = _angles(width, dtype)
        turning = (packed, cos, sin, q_heads + kv_heads)
        yield Case("rotate_", rotary_kernels.rotate_, rotary._rotate_, turning, (0,))
        grad_q = randn(BATCH, LENGTH, q_heads, width).transpose(1, 2)
        grad_k, grad_v = (
            randn(BATCH, kv_heads, LENGTH, width),
            randn(BATCH, LENGTH, kv_heads, width).transpose(1, 2),
        )
        back = (grad_q, grad_k, grad_v, cos, sin, packed)
        yield Case("pack_unrotated", rotary_kernels.pack_unrotated, rotary._pack_unrotated, back, (5,))
        weights = (randn(width), randn(width))
        out = randn(ROWS, (q_heads + kv_heads) * width)
        normed = (packed, *weights, cos, sin, q_heads, 1e-5, out)
        yield Case(
            "norm_and_rotate",
            normed_rotary_kernels.norm_and_rotate,
            normed_rotary._norm_and_rotate,
            normed,
            (7,),
        )
        undone = (packed, grad_q, grad_k, grad_v, *weights, cos, sin, 1e-5)
        yield Case(
            "pack_unnormed_",
            normed_rotary_kernels.pack_unnormed_,
            normed_rotary._pack_unnormed_,
            undone,
            (0,),
        )
    for activation in ("silu", "gelu"):
        gate_up, width = _beside(2 * 100, 24, dtype), 100
        to_add = [(None, None, None, None)]
        if products:
            to_add += [
                (
                    randn(ROWS, parts * rank),
                    randn(2 * width, rank + 8)[:, :rank],
                    randn(ROWS, rank),
                    randn(rank, width),
                )
                for rank, parts in ((8, 2), (72, 2), (24, 1))
            ]
        for low, b, grad_low, a in to_add:
            forward = (gate_up, low, b, activation, _beside(width, 8, dtype))
            yield Case("gated", gated_kernels.forward, gated._gated, forward, (4,))
            for keep in (False, True):
                gradients = (gate_up, low, b, activation, randn(ROWS, width), grad_low, a, keep)
                written = (0, 4) if keep else (0,)
                yield Case(
                    "gated_backward_", gated_kernels.backward_, gated._gated_backward_, gradients, written
                )
    targets = torch.randint(0, 1000, (ROWS,))
    targets[3] = -100
    scale = torch.rand(ROWS) * (targets >= 0)
    losses = (randn(ROWS, 1000), targets, scale, torch.empty(ROWS), -100, True)
    yield Case("cross_entropy_", cross_entropy_kernels.cross_entropy_, loss._cross_entropy_, losses, (0, 3))
    if products:
        for rank in (8, 24, 72, 256):
            low, b = randn(ROWS, rank), randn(100, rank + 8)[:, :rank]
            for factor in (b, randn(rank, 100).t()):
                for addend in (None, randn(ROWS, 100)):
                    sums = (randn(ROWS, 100), addend, low, factor, 0, 0.0, randn(ROWS, 100))
                    yield Case("add_low_rank", low_rank_kernels.add, low_rank._add_low_rank, sums, (6,))
        yield from _of_parts(randn)


def _of_parts(randn: Callable[..., Tensor]) -> Iterator[Case]:
    """Yield products with each part's own matrices, for parts whose columns end within tiles, and not."""
    for ends, rank in (([64, 128], 8), ([24, 100, 148], 24), ([96], 128)):
        parts, columns = len(ends), ends[-1]
        grad, out = randn(ROWS, columns + 8)[:, :columns], randn(ROWS, parts * rank + 8)[:, : parts * rank]
        for b, step in ((randn(columns, rank), 0), (randn(columns, parts * rank + 8), rank)):
            yield Case(
                "low_gradients",
                part_kernels.low_gradients,
                part_products._low_gradients,
                (grad, b, ends, rank, step, 0.5, out),
                (6,),
            )
        of_b = (grad, out, ends, rank, randn(columns, rank))
        yield Case("b_gradients", part_kernels.b_gradients, part_products._b_gradients, of_b, (4,))


def same_places(device: torch.device) -> float:
    """Check that both kernels that drop do so in the same places, and return the share that is left."""
    shape, seed, probability = (70, 200), 7, 0.3
    kept, product = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
    low_rank_kernels.drop(torch.ones(shape, device=device), seed, probability, kept)
    ones = [torch.ones(size, 1, device=device) for size in shape]
    low_rank_kernels.add(torch.zeros(shape, device=device), None, *ones, seed, probability, product)
    assert torch.equal(kept, product)
    assert set(kept.unique().cpu().tolist()) == {0.0, float(torch.tensor(1.0) / (1 - probability))}
    return float((kept > 0).float().mean())


def largest_errors(dtype: torch.dtype, device: torch.device, *, products: bool = True) -> dict[str, float]:
    """Return the largest error of each kernel over its cases."""
    torch.manual_seed(0)
    errors: dict[str, float] = {}
    for case in cases(dtype, products=products):
        errors[case.name] = max(errors.get(case.name, 0.0), case.error(device))
    return errors


if __name__ == "__main__":
    cpu = torch.device("cpu")
    for dtype, limit in ((torch.float32, 2e-6), (torch.bfloat16, 1e-2)):
        # Triton's interpreter multiplies matrices of bfloat16 wrongly.
        for name, error in largest_errors(dtype, cpu, products=dtype == torch.float32).items():
            assert error < limit, (name, dtype, error)
            print(name, dtype, error)
    print("drop", same_places(cpu))
