"""A packed product of layers in 8-bit floats (`quantized/fp8_products.py`), with adapters in their own type.

What an adapter adds is added before a product of 8 bits is written (`fp8_low_rank.py`). The A's lie one
after the other, and so do the B's; the layers' own ones are views of that, so nothing is held twice, unless
ranks or scales of a product's layers differ, whose B's are copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lorafa_prof.layers.packed.copies import Copied
from lorafa_prof.layers.packed.fp8_low_rank import fp8_low_rank
from lorafa_prof.layers.packed.part_products import low_gradients
from lorafa_prof.layers.packed.product import PackedProduct
from lorafa_prof.layers.quantized.fp8_products import (
    fp8_input_gradient,
    fp8_product,
    quantized_rows,
    transposed,
)


@dataclass(frozen=True)
class Fp8Projection(PackedProduct):
    """The module's product.

    Attributes:
        weight: [M, h] in 8 bits.
        weight_scale: of each of its rows, [M].
        own_a: all A's [P·r, h], in their type.
        own_b: all B's [M, r], in their type, those of other scales than s times theirs / s.
        of_adapters: the B's that are copied to it.
    """

    weight: Tensor
    weight_scale: Tensor
    own_a: Tensor
    own_b: Tensor
    of_adapters: list[Copied] = field(default_factory=list)

    @property
    def a(self) -> Tensor:
        """All A's [P·r, h], in their type."""
        return self.own_a

    @property
    def spare(self) -> int:
        """None: no gradient needs room beside it."""
        return 0

    @property
    def copied(self) -> list[Copied]:
        """The B's that are no views."""
        return self.of_adapters

    def new_input(self, x: Tensor) -> Tensor:
        """Return an empty [n, h] for x [n, .]."""
        return x.new_empty(len(x), self.width)

    def product(self, x: Tensor, seed: int | None) -> Tensor:
        """Return [y, low] [n, M + P·r] for x [n, h]."""
        if not self.rank:
            return fp8_product(x, self.weight, self.weight_scale, self.bias)
        out = x.new_empty(len(x), self.out_features + self.low_features)
        y, low = out[:, : self.out_features], out[:, self.out_features :]
        self.low_into_(low, x, seed)
        self._product_into_(y, x, low, None)
        return out

    def onto(self, x: Tensor, residual: Tensor, seed: int | None) -> tuple[Tensor, Tensor | None]:
        """Return residual + y [n, M] and low [n, P·r] for x [n, h]."""
        if not self.rank:
            return fp8_product(x, self.weight, self.weight_scale, self.bias).add_(residual), None
        low = self.low_into_(x.new_empty(len(x), self.low_features), x, seed)
        out = torch.empty_like(residual)
        self._product_into_(out, x, low, residual)
        return out, low

    def input_gradient(self, grad: Tensor, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return dL/dx [n, h] and s · dy B [n, P·r] for [dy, room] [n, M + P·r]."""
        by_out, grad_low = grad[:, : self.out_features], grad[:, self.out_features :]
        return self._input_gradient(by_out, grad_low, seed), grad_low

    def output_gradients(
        self, grad: Tensor, seed: int | None, needs_input: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return dL/dx [n, h] or None, dL/dy [n, M] and s · dy B [n, P·r] for dL/dy [.., M]."""
        by_out = grad.reshape(-1, self.out_features)
        grad_low = grad.new_empty(len(by_out), self.low_features)
        if needs_input:
            return self._input_gradient(by_out, grad_low, seed), by_out, grad_low
        self._low_gradient_into_(grad_low, by_out)
        return None, by_out, grad_low

    def _product_into_(self, out: Tensor, x: Tensor, low: Tensor, residual: Tensor | None) -> None:
        """Write y, and what it is added to, to `out` [n, M] for x [n, h] and low [n, P·r]."""
        rows, by_row = quantized_rows(x)
        fp8_low_rank(
            rows, by_row, self.weight, self.weight_scale, self.bias, residual, low, self.own_b, self.ends, out
        )

    def _input_gradient(self, grad: Tensor, grad_low: Tensor, seed: int | None) -> Tensor:
        """Return dL/dx [n, h] for dy, `grad` [n, M]; s · dy B is written to `grad_low` [n, P·r]."""
        self._low_gradient_into_(grad_low, grad)
        if not self.rank or seed is not None:
            grad_x = fp8_input_gradient(grad, self.weight, self.weight_scale)
            if self.rank:
                self.add_low_gradient_(grad_x, grad_low, seed)
            return grad_x
        rows, by_row = quantized_rows(grad, self.weight_scale)
        grad_x = grad.new_empty(len(grad), self.width)
        weight = transposed(self.weight)
        fp8_low_rank(rows, by_row, weight, None, None, None, grad_low, self.a.t(), [self.width], grad_x)
        return grad_x

    def _low_gradient_into_(self, grad_low: Tensor, grad: Tensor) -> None:
        """Write s · dy B to `grad_low` [n, P·r] for dy, `grad` [n, M]."""
        if self.by_parts:
            low_gradients(grad, self.own_b, self.ends, self.rank, 0, self.scale, grad_low)
            return
        for number, part in enumerate(self.parts if self.rank else ()):
            of_part = grad_low[:, number * self.rank : (number + 1) * self.rank]
            b = self.own_b[part.columns]
            torch.addmm(of_part, grad[:, part.columns], b, beta=0, alpha=self.scale, out=of_part)
