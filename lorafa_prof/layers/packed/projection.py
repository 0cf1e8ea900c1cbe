"""Linear layers that share their input as one product, with their weights, A's and B's in one buffer.

For parts p with W_p [m_p, h] and adapters A_p [r, h], B_p [m_p, r] and a scale s, the buffer is, with P parts
and M = Σ m_p, [M + P·r, h + P·r]:

    W_1 | B_1            forward:   y = [x, s · x Aᵀ] [W, B]ᵀ
     …  |     …          backward:  [dx, dy B] = dy [W, B], then dx += s · (dy B) A
    W_P |         B_P       or      dx = [dy, s · dy B] [W; A]
     A  | 0

so that what an adapter adds to y rides on the base's own product: a matrix as large as y is never read and
written again. The layers' own weights are views of the buffer; A's and B's, which are small and may train,
are copied to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.packed.low_rank import add_low_rank, draw_seed, drop

#: Matrix products want rows that begin at multiples of so many bytes.
_ALIGNED_BYTES = 16


@dataclass(frozen=True)
class Part:
    """One linear layer of a packed product: its columns of y, and its adapter, if it has one."""

    base: nn.Linear
    adapter: LowRankLinear | None
    columns: slice


@dataclass
class Copied:
    """A parameter that the buffer has a copy of, times `factor`, and what it was when that was made."""

    parameter: nn.Parameter
    place: Tensor
    factor: float
    seen: tuple[int, int] | None = None

    def refresh(self) -> None:
        """Copy what may have changed: optimizers need not tell of what they write to what trains."""
        now = (self.parameter.data_ptr(), self.parameter._version)
        if self.parameter.requires_grad or now != self.seen:
            if self.factor == 1.0:
                self.place.copy_(self.parameter)
            else:
                torch.mul(self.parameter, self.factor, out=self.place)
            self.seen = now


@dataclass(frozen=True)
class Projection:
    """Parts of one product and what they share.

    Attributes:
        parts: the layers, in the order of their columns.
        buffer: [M + P·r, h + P·r], or [M, h] without any adapter.
        bias: [M] or None.
        width: h.
        rank: the common rank r: the largest one, rounded up; 0 without any adapter.
        scale: the common scale s: that of the first adapter; others' B's are in the buffer times theirs / s.
        dropout: the probability with which what goes into the A's is dropped, the same places for all.
        copied: the A's and B's.
    """

    parts: tuple[Part, ...]
    buffer: Tensor
    bias: Tensor | None
    width: int
    rank: int
    scale: float
    dropout: float
    copied: list[Copied] = field(default_factory=list)

    @property
    def out_features(self) -> int:
        """M."""
        return int(self.parts[-1].columns.stop)

    @property
    def low_features(self) -> int:
        """P·r."""
        return len(self.parts) * self.rank

    @property
    def a(self) -> Tensor:
        """All A's [P·r, h], a view."""
        return self.buffer[self.out_features :, : self.width]

    @property
    def b(self) -> Tensor:
        """All B's [M, P·r], a view."""
        return self.buffer[: self.out_features, self.width :]

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

    def arguments(self) -> list[Tensor]:
        """Return `trained`, for a pass of which autograd is to know them.

        Raises:
            UsageError: what an adapter needs frozen was thawed.
        """
        for part in self.parts:
            if part.adapter:
                part.adapter.check_frozen(part.base.weight, part.base.bias, part.adapter.lora_A)
        return self.trained()

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

    def refresh(self) -> None:
        """Copy to the buffer what may have changed of A's and B's."""
        with torch.no_grad():
            for copied in self.copied:
                copied.refresh()

    def new_input(self, x: Tensor) -> Tensor:
        """Return an empty [n, h + P·r] for x [n, .]: room for the input, and for s · x Aᵀ beside it."""
        return x.new_empty(len(x), self.width + self.low_features)

    def draw(self) -> int | None:
        """Return a seed for what is dropped in this pass; None where nothing is."""
        trains = any(part.adapter.training for part in self.parts if part.adapter)
        return draw_seed() if self.dropout and trains else None

    def dropped(self, x: Tensor, seed: int | None) -> Tensor:
        """Return drop(x) [n, h] for x [n, h]; x itself where nothing is dropped."""
        if seed is None:
            return x
        out = x.new_empty(x.shape)
        drop(x, seed, self.dropout, out)
        return out

    def low_into_(self, low: Tensor, x: Tensor, seed: int | None) -> Tensor:
        """Write s · drop(x) Aᵀ to `low` [n, P·r] for x [n, h], and return it."""
        if self.rank:
            torch.addmm(low, self.dropped(x, seed), self.a.t(), beta=0, alpha=self.scale, out=low)
        return low

    def low_of_(self, x: Tensor, seed: int | None) -> Tensor:
        """Write s · drop(x) Aᵀ beside x, in [x, .] [n, h + P·r], and return it, a view [n, P·r]."""
        return self.low_into_(x[:, self.width :], x[:, : self.width], seed)

    def product(self, x: Tensor, seed: int | None) -> Tensor:
        """Return [y, s · drop(x) Aᵀ] [n, M + P·r] for [x, .] [n, h + P·r]."""
        low = self.low_of_(x, seed)
        out = x.new_empty(len(x), self.out_features + self.low_features)
        y, weight = out[:, : self.out_features], self.buffer[: self.out_features].t()
        if self.bias is None:
            torch.mm(x, weight, out=y)
        else:
            torch.addmm(self.bias, x, weight, out=y)
        if self.rank:
            out[:, self.out_features :].copy_(low)
        return out

    def add_low_gradient_(self, grad_x: Tensor, grad_low: Tensor, seed: int | None) -> None:
        """Add that of drop(x), s · dy B A, for `grad_low`, s · dy B [n, P·r], to dL/dx [n, h], in place."""
        if seed is None:
            grad_x.addmm_(grad_low, self.a)
        else:
            add_low_rank(grad_x, grad_low, self.a.t(), seed, self.dropout, grad_x)

    def input_gradient(self, grad: Tensor, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return dL/dx [n, h] and s · dy B [n, P·r] for grad [n, M], views of one tensor."""
        both = torch.mm(grad, self.buffer[: self.out_features])
        grad_x, low = both[:, : self.width], both[:, self.width :]
        if self.rank:
            self.add_low_gradient_(grad_x, low.mul_(self.scale), seed)
        return grad_x, low

    def parameter_gradients(
        self,
        grad: Tensor,
        low: Tensor,
        grad_low: Tensor,
        x: Tensor | None,
        needed: Sequence[bool],
        seed: int | None,
    ) -> list[Tensor | None]:
        """Return the gradients of what `trained` names.

        Args:
            grad: dL/dy [n, M].
            low: s · drop(x) Aᵀ [n, P·r].
            grad_low: s · dy B [n, P·r].
            x: [n, h], for weights and A's that train.
            needed: by place in `trained`, whether it trains.
            seed: of what was dropped.
        """
        wants = dict(zip(map(id, self.trained()), needed, strict=True))
        grad_w = grad_a = grad_b = None
        if any(wants[id(part.base.weight)] for part in self.parts):
            grad_w = torch.mm(grad.t(), cast(Tensor, x))
        adapters = [part.adapter for part in self.parts if part.adapter]
        if any(wants[id(adapter.lora_B)] for adapter in adapters):
            grad_b = torch.mm(grad.t(), low)
        if any(wants[id(adapter.lora_A)] for adapter in adapters):
            grad_a = torch.mm(grad_low.t(), self.dropped(cast(Tensor, x), seed))
        gradients: list[Tensor | None] = []
        for number, part in enumerate(self.parts):
            base, adapter = part.base, part.adapter
            gradients.append(cast(Tensor, grad_w)[part.columns] if wants[id(base.weight)] else None)
            if base.bias is not None:
                gradients.append(grad[:, part.columns].sum(0) if wants[id(base.bias)] else None)
            if adapter is None:
                continue
            own = slice(number * self.rank, number * self.rank + adapter.rank)
            of_a = of_b = None
            if wants[id(adapter.lora_A)]:
                of_a = cast(Tensor, grad_a)[own].to(adapter.lora_A.dtype)
            if wants[id(adapter.lora_B)]:
                of_b = cast(Tensor, grad_b)[part.columns, own].to(adapter.lora_B.dtype)
                if adapter.scale != self.scale:
                    of_b = of_b * (adapter.scale / self.scale)
            gradients += [of_a, of_b]
        return gradients


def pack(layers: Sequence[nn.Module]) -> Projection:
    """Return one product of these linear layers, adapted or not, and make their weights views of its buffer.

    Raises:
        UsageError: a layer is none that can be packed.
    """
    bases = [_base(layer) for layer in layers]
    adapters = [layer if isinstance(layer, LowRankLinear) else None for layer in layers]
    like, width = bases[0].weight, bases[0].in_features
    rank = _common_rank([adapter.rank for adapter in adapters if adapter], like.dtype)
    scale = next((adapter.scale for adapter in adapters if adapter), 1.0)
    ends = torch.tensor([base.out_features for base in bases]).cumsum(0).tolist()
    columns = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    parts = tuple(Part(*part) for part in zip(bases, adapters, columns, strict=True))
    low_features = len(parts) * rank
    buffer = like.new_zeros(ends[-1] + low_features, width + low_features)
    bias = like.new_zeros(ends[-1]) if any(base.bias is not None for base in bases) else None
    dropout = next((adapter.dropout for adapter in adapters if adapter), 0.0)
    projection = Projection(parts, buffer, bias, width, rank, scale, dropout)
    for number, part in enumerate(parts):
        _view(part.base.weight, buffer[part.columns, :width])
        if part.base.bias is not None and bias is not None:
            _view(part.base.bias, bias[part.columns])
        if part.adapter is not None:
            low = slice(number * rank, number * rank + part.adapter.rank)
            projection.copied.append(Copied(part.adapter.lora_A, projection.a[low], 1.0))
            of_b = projection.b[part.columns, low]
            projection.copied.append(Copied(part.adapter.lora_B, of_b, part.adapter.scale / scale))
    return projection


def _base(layer: nn.Module) -> nn.Linear:
    base = layer.base if isinstance(layer, LowRankLinear) else layer
    if type(base) is not nn.Linear:
        raise UsageError(
            "kernels 'packed' packs dense linear layers, with the adapters of lora and lora-fa or without, "
            f"and no {type(base).__module__.partition('.')[0]} {type(base).__name__}; set kernels to liger, "
            "fused or eager",
            about="kernels",
        )
    return base


def _common_rank(ranks: Sequence[int], dtype: torch.dtype) -> int:
    multiple = _ALIGNED_BYTES // dtype.itemsize
    return -(-max(ranks, default=0) // multiple) * multiple


def _view(parameter: Tensor, place: Tensor) -> None:
    """Store `parameter` in `place`, with the values that it has."""
    with torch.no_grad():
        place.copy_(parameter)
    parameter.data = place
