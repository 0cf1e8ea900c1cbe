"""Linear layers that share their input as one product, with adapters: what all kinds of weights have in it.

For parts p with W_p [m_p, h], adapters A_p [r, h] and B_p [m_p, r], scales s_p, and a dropout of what goes to
the A's; with P parts and M = Σ m_p:

    y_p = x W_pᵀ + bias_p + s_p · (drop(x) A_pᵀ) B_pᵀ          y [n, M]

The layers' own weights are views of the one that is multiplied. A common s and r stand for all s_p and r_p:
s · drop(x) Aᵀ [n, P·r], "low" in what follows, has a part's columns from the r-th of it on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.packed.copies import Copied
from lorafa_prof.layers.packed.low_rank import add_low_rank, draw_seed, drop
from lorafa_prof.layers.packed.part_products import LARGEST_RANK, MOST_PARTS, b_gradients

#: y [n, M] and low [n, P·r] of a product; or [y, low] [n, M + P·r] as one, and None.
Result = tuple[Tensor, "Tensor | None"]


class Part:
    """One linear layer of a packed product: its columns of y, and its adapter, if it has one.

    Its tensors are looked up once: a module takes microseconds for each, and a step asks thousands of times.

    Attributes:
        base: the linear layer.
        adapter: the adapter around it, or None.
        columns: of y.
        weight, bias, a, b: of the layer and its adapter; None where there is none.
        trained: those that there are, in this order.
    """

    def __init__(self, base: nn.Linear, adapter: LowRankLinear | None, columns: slice) -> None:
        self.base, self.adapter, self.columns = base, adapter, columns
        self.weight: Tensor = base.weight
        self.bias = cast("Tensor | None", base.bias)
        self.a: Tensor | None = adapter.lora_A if adapter else None
        self.b: Tensor | None = adapter.lora_B if adapter else None
        self.trained = [tensor for tensor in (self.weight, self.bias, self.a, self.b) if tensor is not None]


@dataclass(frozen=True)
class PackedProduct(ABC):
    """Parts of one product and what they share.

    Attributes:
        parts: the layers, in the order of their columns.
        bias: [M] or None.
        width: h.
        rank: the common rank r: the largest one, rounded up; 0 without any adapter.
        scale: the common scale s: that of the first adapter.
        dropout: the probability with which what goes into the A's is dropped, the same places for all.
    """

    parts: tuple[Part, ...]
    bias: Tensor | None
    width: int
    rank: int
    scale: float
    dropout: float

    @cached_property
    def out_features(self) -> int:
        """M."""
        return int(self.parts[-1].columns.stop)

    @cached_property
    def low_features(self) -> int:
        """P·r."""
        return len(self.parts) * self.rank

    @property
    @abstractmethod
    def a(self) -> Tensor:
        """All A's [P·r, h]."""

    @property
    @abstractmethod
    def spare(self) -> int:
        """Columns of room that `output_gradients` can use beside the gradient that it is given."""

    @property
    @abstractmethod
    def copied(self) -> Sequence[Copied]:
        """What the product has copies of."""

    def refresh(self) -> None:
        """Take in what may have changed of A's and B's since the last pass."""
        with torch.no_grad():
            for copied in self.copied:
                copied.refresh()

    @abstractmethod
    def new_input(self, x: Tensor) -> Tensor:
        """Return an empty [n, h] for x [n, .], with room beside it where the product uses that."""

    @abstractmethod
    def product(self, x: Tensor, seed: int | None) -> Result:
        """Return y and low for x, filled, of `new_input`."""

    @property
    def b_to_add(self) -> Tensor | None:
        """B's [M, r], where `product_to_add` leaves it to its caller to add low Bᵀ, part by part, to y."""
        return None

    def product_to_add(self, x: Tensor, seed: int | None) -> Result:
        """Return y and low as `product` does, y without what `b_to_add` names."""
        return self.product(x, seed)

    def output_gradients_to_add(
        self, grad: Tensor, seed: int | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return what `output_gradients` does, and A [r, h] if s · dy B A has still to be added to dL/dx."""
        grad_x, by_out, grad_low = self.output_gradients(grad, seed, True)
        return cast(Tensor, grad_x), by_out, grad_low, None

    @abstractmethod
    def onto(self, x: Tensor, residual: Tensor, seed: int | None) -> tuple[Tensor, Tensor | None]:
        """Return residual + y [n, M] and low [n, P·r], None without any adapter.

        Args:
            x: [n, h], or, filled, of `new_input`.
            residual: [n, M].
            seed: of what is dropped.
        """

    @abstractmethod
    def input_gradient(self, result: Result, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return dL/dx [n, h] and, of use where an A trains, s · dy B [n, P·r].

        Args:
            result: of `product`, with dy in y's place; low may be written over.
            seed: of what was dropped.
        """

    @abstractmethod
    def output_gradients(
        self, grad: Tensor, seed: int | None, needs_input: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return dL/dx [n, h] or None, dL/dy [n, M] and s · dy B [n, P·r] for the gradient [.., M] of `onto`.

        Args:
            grad: dL/dy [.., M], with room beside it or without.
            seed: of what was dropped.
            needs_input: whether x needs a gradient.
        """

    @property
    def trains_a(self) -> bool:
        """Whether any A trains."""
        return any(part.a is not None and part.a.requires_grad for part in self.parts)

    def y_and_low(self, result: Result) -> tuple[Tensor, Tensor]:
        """Return y [n, M] and low [n, P·r] of a product's result."""
        y, low = result
        return (y, low) if low is not None else (y[:, : self.out_features], y[:, self.out_features :])

    @cached_property
    def ends(self) -> list[int]:
        """Where the columns of each part end."""
        return [part.columns.stop for part in self.parts]

    def low_columns(self, number: int) -> slice:
        """Return the columns of low that are those of part `number`; none where it has no adapter."""
        adapter = self.parts[number].adapter
        return slice(number * self.rank, number * self.rank + (adapter.rank if adapter else 0))

    @cached_property
    def trained(self) -> list[Tensor]:
        """Every tensor of the parts that may train: of each weight, bias, A and B, in this order."""
        return [tensor for part in self.parts for tensor in part.trained]

    def arguments(self) -> list[Tensor]:
        """Return `trained`, for a pass of which autograd is to know them.

        Raises:
            UsageError: what an adapter needs frozen was thawed.
        """
        for part in self.parts:
            if part.adapter and part.a is not None:
                part.adapter.check_frozen(part.weight, part.bias, part.a)
        return self.trained

    def keeps_input(self, needed: Sequence[bool]) -> bool:
        """Return whether anything trains whose gradient takes x: all of `trained` but biases and B's."""
        return any(need and takes for need, takes in zip(needed, self._takes_input, strict=True))

    @cached_property
    def _takes_input(self) -> list[bool]:
        """By place in `trained`, whether the gradient takes x."""
        return [tensor is part.weight or tensor is part.a for part in self.parts for tensor in part.trained]

    def draw(self) -> int | None:
        """Return a seed for what is dropped in this pass; None where nothing is."""
        if self.dropout == 0.0:
            return None
        trains = any(part.adapter.training for part in self.parts if part.adapter)
        return draw_seed() if trains else None

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

    def add_low_gradient_(self, grad_x: Tensor, grad_low: Tensor, seed: int | None) -> None:
        """Add that of drop(x), s · dy B A, for `grad_low`, s · dy B [n, P·r], to dL/dx [n, h], in place."""
        if self.rank:
            dropout = (0, 0.0) if seed is None else (seed, self.dropout)
            add_low_rank(grad_x, None, grad_low, self.a.t(), *dropout, grad_x)

    def b_gradients(self, grad: Tensor, low: Tensor | None, needed: Sequence[bool]) -> list[Tensor | None]:
        """Return the gradient of every part's B, None where it does not train, each of them dense.

        Args:
            grad: dL/dy [n, M].
            low: s · drop(x) Aᵀ [n, P·r].
            needed: by place in `trained`, whether it trains.
        """
        wants = self._wants(needed)
        trained = [part.b is not None and wants[id(part.b)] for part in self.parts]
        if low is None or not any(trained):
            return [None] * len(self.parts)
        if all(trained) and self.by_parts:
            together = grad.new_empty(self.out_features, self.rank)
            b_gradients(grad, low, self.ends, self.rank, together)
        gradients: list[Tensor | None] = []
        for number, part in enumerate(self.parts):
            if not trained[number]:
                gradients.append(None)
                continue
            adapter, own = cast(LowRankLinear, part.adapter), self.low_columns(number)
            if all(trained) and self.by_parts:
                of_b = together[part.columns, : adapter.rank].contiguous()
            else:
                of_b = torch.mm(grad[:, part.columns].t(), low[:, own])
            of_b = of_b.to(cast(Tensor, part.b).dtype)
            gradients.append(of_b if adapter.scale == self.scale else of_b * (adapter.scale / self.scale))
        return gradients

    def _wants(self, needed: Sequence[bool]) -> dict[int, bool]:
        """Return whether each tensor of `trained`, by its id, trains."""
        return dict(zip(map(id, self.trained), needed, strict=True))

    @cached_property
    def by_parts(self) -> bool:
        """Whether products with all B's are made by one launch: of several parts, and narrow ones."""
        return 1 < len(self.parts) <= MOST_PARTS and 0 < self.rank <= LARGEST_RANK

    def parameter_gradients(
        self,
        grad: Tensor,
        by_b: Sequence[Tensor | None],
        grad_low: Tensor,
        x: Tensor | None,
        needed: Sequence[bool],
        seed: int | None,
    ) -> list[Tensor | None]:
        """Return the gradients of what `trained` names.

        Args:
            grad: dL/dy [n, M].
            by_b: what `b_gradients` returned.
            grad_low: s · dy B [n, P·r].
            x: [n, h], for weights and A's that train.
            needed: by place in `trained`, whether it trains.
            seed: of what was dropped.
        """
        wants = self._wants(needed)
        grad_w = grad_a = None
        if any(wants[id(part.weight)] for part in self.parts):
            grad_w = torch.mm(grad.t(), cast(Tensor, x))
        if any(part.a is not None and wants[id(part.a)] for part in self.parts):
            grad_a = torch.mm(grad_low.t(), self.dropped(cast(Tensor, x), seed))
        gradients: list[Tensor | None] = []
        for number, part in enumerate(self.parts):
            gradients.append(cast(Tensor, grad_w)[part.columns] if wants[id(part.weight)] else None)
            if part.bias is not None:
                gradients.append(grad[:, part.columns].sum(0) if wants[id(part.bias)] else None)
            if part.adapter is None or part.a is None or part.b is None:
                continue
            of_a = None
            if wants[id(part.a)]:
                of_a = cast(Tensor, grad_a)[self.low_columns(number)].to(part.a.dtype)
            gradients += [of_a, by_b[number]]
        return gradients
