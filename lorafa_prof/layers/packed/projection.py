"""A packed product of dense layers, with their weights, A's and B's in one buffer [M + P·r, h + P·r]:

    W_1 | B_1            forward:   y = [x, s · x Aᵀ] [W, B]ᵀ
     …  |     …          backward:  [dx, dy B] = dy [W, B], then dx += s · (dy B) A
    W_P |         B_P       or      dx = [dy, s · dy B] [W; A]
     A  | 0

so that what an adapter adds to y rides on the base's own product: a matrix as large as y is never read and
written again. Backward takes the first form where several parts have few columns of B together, the second
else: a few more columns of dx cost little until they fill another column of tiles. The layers' own weights
are views of the buffer; A's and B's, which are small and may train, are copied to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lorafa_prof.layers.packed.copies import Copied
from lorafa_prof.layers.packed.low_rank import add_low_rank
from lorafa_prof.layers.packed.part_products import low_gradients
from lorafa_prof.layers.packed.product import PackedProduct, Result
from lorafa_prof.layers.packed.spare import room_beside

#: Columns of all B's together that ride beside dx: measured on an H200 (reports/h200-step), 128 more than
#: 4096 take a fiftieth of the product's time, and 192 an eighth.
MOST_BESIDE = 128


@dataclass(frozen=True)
class Projection(PackedProduct):
    """The module's product.

    Attributes:
        buffer: [M + P·r, h + P·r], or [M, h] without any adapter; B's are in it times their scale / s.
        of_adapters: the A's and B's, which are copied to it.
    """

    buffer: Tensor
    of_adapters: list[Copied] = field(default_factory=list)

    @property
    def copied(self) -> list[Copied]:
        """The A's and B's."""
        return self.of_adapters

    @cached_property
    def a(self) -> Tensor:
        """All A's [P·r, h], a view."""
        return self.buffer[self.out_features :, : self.width]

    @cached_property
    def b(self) -> Tensor:
        """All B's [M, P·r], a view."""
        return self.buffer[: self.out_features, self.width :]

    @property
    def spare(self) -> int:
        """Columns of room for s · dy B beside dy."""
        return self.rank

    def new_input(self, x: Tensor) -> Tensor:
        """Return an empty [n, h + P·r] for x [n, .]: room for the input, and for s · x Aᵀ beside it."""
        return x.new_empty(len(x), self.width + self.low_features)

    def low_of_(self, x: Tensor, seed: int | None) -> Tensor:
        """Write s · drop(x) Aᵀ beside x, in [x, .] [n, h + P·r], and return it, a view [n, P·r]."""
        return self.low_into_(x[:, self.width :], x[:, : self.width], seed)

    def product(self, x: Tensor, seed: int | None) -> Result:
        """Return [y, low] [n, M + P·r] and None for [x, .] [n, h + P·r]."""
        low = self.low_of_(x, seed)
        out = x.new_empty(len(x), self.out_features + self.low_features)
        y, kept = out[:, : self.out_features], out[:, self.out_features :]
        weight = self.buffer[: self.out_features].t()
        if self.bias is None:
            torch.mm(x, weight, out=y)
        else:
            torch.addmm(self.bias, x, weight, out=y)
        if self.rank:
            kept.copy_(low)
        return out, None

    def onto(self, x: Tensor, residual: Tensor, seed: int | None) -> tuple[Tensor, Tensor | None]:
        """Return residual + y [n, M] and low [n, P·r] for x [n, h] or [x, .] [n, h + P·r]."""
        onto = residual if self.bias is None else residual + self.bias
        weight = self.buffer[: self.out_features].t()
        if x.shape[1] == len(weight):
            low = self.low_of_(x, seed)
            out = torch.addmm(onto, x, weight)
            return out, low.clone() if self.rank else None
        low = self.low_into_(x.new_empty(len(x), self.low_features), x, seed)
        out = torch.empty_like(onto)
        add_low_rank(onto, None, low, self.b, 0, 0.0, out)
        out.addmm_(x, weight[: self.width])
        return out, low

    def input_gradient(self, result: Result, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return dL/dx [n, h] and, where an A trains, s · dy B [n, P·r] for [dy, low] [n, M + P·r]."""
        grad, _ = result
        by_out, grad_low = self.y_and_low(result)
        if len(self.parts) > 1 and 0 < self.low_features <= MOST_BESIDE:
            return self._beside_input_gradient(by_out, seed)
        self._low_gradient_into_(grad_low, by_out)
        if seed is None:
            return torch.mm(grad, self.buffer[:, : self.width]), grad_low
        grad_x = torch.mm(by_out, self.buffer[: self.out_features, : self.width])
        self.add_low_gradient_(grad_x, grad_low, seed)
        return grad_x, grad_low

    def output_gradients(
        self, grad: Tensor, seed: int | None, needs_input: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return dL/dx [n, h] or None, dL/dy [n, M] and s · dy B [n, P·r] for dL/dy [.., M]."""
        both = room_beside(grad, self.low_features)
        by_out, grad_low = both[:, : self.out_features], both[:, self.out_features :]
        if needs_input:
            grad_x, grad_low = self.input_gradient((both, None), seed)
            return grad_x, by_out, grad_low
        self._low_gradient_into_(grad_low, by_out)
        return None, by_out, grad_low

    def _beside_input_gradient(self, grad: Tensor, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return dL/dx [n, h] and, where an A trains, s · dy B [n, P·r], of one product with dy [n, M]."""
        both = torch.mm(grad, self.buffer[: self.out_features])
        grad_x, grad_low = both[:, : self.width], both[:, self.width :]
        if seed is None and not self.trains_a:
            grad_x.addmm_(grad_low, self.a, alpha=self.scale)
        else:
            self.add_low_gradient_(grad_x, grad_low.mul_(self.scale), seed)
        return grad_x, grad_low

    def _low_gradient_into_(self, grad_low: Tensor, grad: Tensor) -> None:
        """Write s · dy B to `grad_low` [n, P·r] for dy, `grad` [n, M]."""
        if self.by_parts:
            low_gradients(grad, self.b, self.ends, self.rank, self.rank, self.scale, grad_low)
        elif self.rank:
            torch.addmm(grad_low, grad, self.b, beta=0, alpha=self.scale, out=grad_low)
