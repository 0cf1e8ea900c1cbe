"""Linear layers that share their input as one product, whose weights and A's are stored in one buffer.

For parts p with W_p [m_p, h] and adapters A_p [r, h], B_p [m_p, r], s_p, the buffer is

    weight [M + P·r, h] = W_1, …, W_P, A_1, …, A_P        with M = Σ m_p

so that one product of x [n, h] gives both all x W_pᵀ and all x A_pᵀ, and, with dy_p and the gradients of x A_pᵀ side
by side, one product gives the gradient of x. The layers' own weights and A's are views of the buffer. What remains
of an adapter, s_p · (x A_pᵀ) B_pᵀ, other operations add while they read y anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LowRankLinear

#: cuBLAS wants rows that begin at multiples of so many bytes.
_ALIGNED_BYTES = 16


@dataclass(frozen=True)
class Part:
    """One linear layer of a packed product: its columns of y, and its adapter, if it has one."""

    base: nn.Linear
    adapter: LowRankLinear | None
    columns: slice

    @property
    def scale(self) -> float:
        """s, 0 without an adapter."""
        return self.adapter.scale if self.adapter else 0.0


@dataclass(frozen=True)
class Projection:
    """Parts of one product and what they share.

    Attributes:
        parts: the layers, in the order of their columns.
        weight: [M + P·r, h], or [M, h] without any adapter.
        b: [M, r], each part's B with zeros to the common rank; None without any adapter.
        bias: [M + P·r] or None.
        rank: the common rank r: the largest one, rounded up; 0 without any adapter.
    """

    parts: tuple[Part, ...]
    weight: Tensor
    b: Tensor | None
    bias: Tensor | None
    rank: int
    scales: list[float] = field(default_factory=list)

    @property
    def out_features(self) -> int:
        """M."""
        return self.parts[-1].columns.stop

    def low_columns(self, part: int) -> slice:
        """Return the columns of x A_pᵀ in the product, those of the common rank."""
        start = self.out_features + part * self.rank
        return slice(start, start + self.rank)

    def trained(self) -> list[Tensor]:
        """Return every tensor of the parts that may train: weights, biases, A's and B's, in a fixed order."""
        tensors: list[Tensor] = []
        for part in self.parts:
            tensors.append(part.base.weight)
            if part.base.bias is not None:
                tensors.append(part.base.bias)
            if part.adapter:
                tensors += [part.adapter.lora_A, part.adapter.lora_B]
        return tensors

    def refresh(self) -> None:
        """Copy into the buffers what is stored elsewhere: adapters of another type, or of a lower rank."""
        with torch.no_grad():
            for number, part in enumerate(self.parts):
                if part.adapter is None or self.b is None:
                    continue
                rank = part.adapter.rank
                rows = self.weight[self.low_columns(number)][:rank]
                if rows.data_ptr() != part.adapter.lora_A.data_ptr():
                    rows.copy_(part.adapter.lora_A)
                of_part = self.b[part.columns][:, :rank]
                if of_part.data_ptr() != part.adapter.lora_B.data_ptr():
                    of_part.copy_(part.adapter.lora_B)

    def product(self, x: Tensor) -> Tensor:
        """Return [y, x Aᵀ] [n, M + P·r] for x [n, h], y without what adapters add to it."""
        weight = self.weight.t()
        return torch.mm(x, weight) if self.bias is None else torch.addmm(self.bias, x, weight)

    def low(self, product: Tensor) -> Tensor | None:
        """Return the columns of all x A_pᵀ [n, P·r], a view; None without any adapter."""
        return product[:, self.out_features :] if self.rank else None

    def keeps_input(self, needed: Sequence[bool]) -> bool:
        """Return whether anything trains whose gradient takes x: all of `trained` but biases and B's."""
        without = {
            id(tensor)
            for part in self.parts
            for tensor in (part.base.bias, part.adapter.lora_B if part.adapter else None)
        }
        return any(
            need and id(tensor) not in without for need, tensor in zip(needed, self.trained(), strict=True)
        )

    def parameter_gradients(
        self, product: Tensor, x: Tensor | None, needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """Return the gradients of what `trained` names, and write those of x Aᵀ over x Aᵀ.

        Args:
            product: [dL/dy, x Aᵀ] [n, M + P·r].
            x: [n, h], for weights and A's that train.
            needed: by place in `trained`, whether it trains.
        """
        places = iter(needed)
        weight_trains = any(
            need for need, tensor in zip(needed, self.trained(), strict=True) if self._is_weight(tensor)
        )
        grad_weight = torch.mm(product[:, : self.out_features].t(), cast(Tensor, x)) if weight_trains else None
        gradients: list[Tensor | None] = []
        grad_a: list[tuple[int, int, int]] = []
        for number, part in enumerate(self.parts):
            grad = product[:, part.columns]
            gradients.append(cast(Tensor, grad_weight)[part.columns] if next(places) else None)
            if part.base.bias is not None:
                gradients.append(grad.sum(0) if next(places) else None)
            if part.adapter is None:
                continue
            a_trains, b_trains = next(places), next(places)
            low = product[:, self.low_columns(number)]
            rank, adapter = part.adapter.rank, part.adapter
            grad_b = None
            if b_trains:
                wide_b = low.new_empty(grad.shape[1], self.rank)
                wide_b.addmm_(grad.t(), low, beta=0, alpha=adapter.scale)
                grad_b = wide_b[:, :rank].to(adapter.lora_B.dtype)
            torch.addmm(low, grad, cast(Tensor, self.b)[part.columns], beta=0, alpha=adapter.scale, out=low)
            gradients += [None, grad_b]
            if a_trains:
                grad_a.append((len(gradients) - 2, number, rank))
        if grad_a:
            all_a = torch.mm(product[:, self.out_features :].t(), cast(Tensor, x))
            for place, number, rank in grad_a:
                adapter = cast(LowRankLinear, self.parts[number].adapter)
                rows = slice(number * self.rank, number * self.rank + rank)
                gradients[place] = all_a[rows].to(adapter.lora_A.dtype)
        return gradients

    def _is_weight(self, tensor: Tensor) -> bool:
        return any(tensor is part.base.weight for part in self.parts)

    def input_gradient(self, product: Tensor) -> Tensor:
        """Return dL/dx [n, h] for [dL/dy, dL/d(x Aᵀ)] [n, M + P·r]."""
        return torch.mm(product, self.weight)


def pack(layers: Sequence[nn.Module]) -> Projection:
    """Return one product of these linear layers, with adapters or without, and make their weights views of it.

    Raises:
        UsageError: a layer is none that can be packed.
    """
    bases = [_base(layer) for layer in layers]
    adapters = [layer if isinstance(layer, LowRankLinear) else None for layer in layers]
    like = bases[0].weight
    rank = _common_rank([adapter.rank for adapter in adapters if adapter], like.dtype)
    outs = [base.out_features for base in bases]
    out_features = sum(outs)
    weight = like.new_zeros(out_features + len(layers) * rank, base_width(bases))
    b = like.new_zeros(out_features, rank) if rank else None
    starts = [sum(outs[:number]) for number in range(len(outs))]
    parts = tuple(
        Part(base, adapter, slice(start, start + out))
        for base, adapter, start, out in zip(bases, adapters, starts, outs, strict=True)
    )
    bias = None
    if any(base.bias is not None for base in bases):
        bias = like.new_zeros(len(weight))
    projection = Projection(parts, weight, b, bias, rank, [part.scale for part in parts])
    for number, part in enumerate(parts):
        _view(part.base.weight, weight[part.columns])
        if part.base.bias is not None and bias is not None:
            _view(part.base.bias, bias[part.columns])
        if part.adapter is not None and b is not None:
            a_rows = weight[projection.low_columns(number)][: part.adapter.rank]
            b_rows = b[part.columns]
            if part.adapter.lora_A.dtype == weight.dtype:
                _view(part.adapter.lora_A, a_rows)
            if part.adapter.lora_B.dtype == b.dtype and part.adapter.rank == rank:
                _view(part.adapter.lora_B, b_rows)
    projection.refresh()
    return projection


def _base(layer: nn.Module) -> nn.Linear:
    base = layer.base if isinstance(layer, LowRankLinear) else layer
    if type(base) is not nn.Linear:
        raise UsageError(f"kernels 'packed' cannot pack a {type(base).__name__}", about="kernels")
    return base


def base_width(bases: Sequence[nn.Linear]) -> int:
    """Return h, the width of the input that these layers share."""
    return bases[0].in_features


def _common_rank(ranks: Sequence[int], dtype: torch.dtype) -> int:
    multiple = _ALIGNED_BYTES // dtype.itemsize
    return -(-max(ranks, default=0) // multiple) * multiple


def _view(parameter: nn.Parameter, place: Tensor) -> None:
    """Store `parameter` in `place`, with the values that it has."""
    with torch.no_grad():
        place.copy_(parameter)
    parameter.data = place
