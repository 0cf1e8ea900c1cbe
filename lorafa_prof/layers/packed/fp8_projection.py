"""A packed product of layers in 8-bit floats (`quantized/fp8_products.py`), with adapters in their own type.

No adapter can ride on a product of 8 bits: what it adds is added after that, or, for the gated activation, by
what reads y next. The A's lie one after the other, and so do the B's; the layers' own ones are views of that,
so nothing is held twice, unless ranks or scales of a product's layers differ, whose B's are copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lorafa_prof.layers.packed.copies import Copied
from lorafa_prof.layers.packed.low_rank import add_low_rank
from lorafa_prof.layers.packed.part_products import low_gradients
from lorafa_prof.layers.packed.product import PackedProduct, Result
from lorafa_prof.layers.quantized.fp8_products import fp8_input_gradient, fp8_product


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

    def product(self, x: Tensor, seed: int | None) -> Result:
        """Return y [n, M] and low [n, P·r] for x [n, h]."""
        y, low = result = self.product_to_add(x, seed)
        for number, part in enumerate(self.parts if self.rank else ()):
            of_part, own = y[:, part.columns], slice(number * self.rank, (number + 1) * self.rank)
            add_low_rank(of_part, None, low[:, own], self.own_b[part.columns], 0, 0.0, of_part)
        return result

    @property
    def b_to_add(self) -> Tensor | None:
        """All B's."""
        return self.own_b if self.rank else None

    def product_to_add(self, x: Tensor, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return x Wᵀ + bias [n, M] and low [n, P·r] for x [n, h]."""
        y = fp8_product(x, self.weight, self.weight_scale, self.bias)
        return y, self.low_into_(x.new_empty(len(x), self.low_features), x, seed)

    def onto(self, x: Tensor, residual: Tensor, seed: int | None) -> tuple[Tensor, Tensor | None]:
        """Return residual + y [n, M] and low [n, P·r] for x [n, h]."""
        y = fp8_product(x, self.weight, self.weight_scale, self.bias)
        if not self.rank:
            return y.add_(residual), None
        low = self.low_into_(x.new_empty(len(x), self.low_features), x, seed)
        add_low_rank(y, residual, low, self.own_b, 0, 0.0, y)
        return y, low

    def input_gradient(self, result: Result, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return dL/dx [n, h] and s · dy B [n, P·r] for dy [n, M] and low [n, P·r]."""
        by_out, grad_low = self.y_and_low(result)
        grad_x = fp8_input_gradient(by_out, self.weight, self.weight_scale)
        self._low_gradient_into_(grad_low, by_out)
        self.add_low_gradient_(grad_x, grad_low, seed)
        return grad_x, grad_low

    def output_gradients(
        self, grad: Tensor, seed: int | None, needs_input: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return dL/dx [n, h] or None, dL/dy [n, M] and s · dy B [n, P·r] for dL/dy [.., M]."""
        by_out = grad.reshape(-1, self.out_features)
        grad_x = fp8_input_gradient(by_out, self.weight, self.weight_scale) if needs_input else None
        grad_low = grad.new_empty(len(by_out), self.low_features)
        self._low_gradient_into_(grad_low, by_out)
        if grad_x is not None:
            self.add_low_gradient_(grad_x, grad_low, seed)
        return grad_x, by_out, grad_low

    def output_gradients_to_add(
        self, grad: Tensor, seed: int | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return dy W [n, h], dL/dy [n, M], s · dy B [n, P·r], and A; None where it is added."""
        by_out = grad.reshape(-1, self.out_features)
        grad_x = fp8_input_gradient(by_out, self.weight, self.weight_scale)
        grad_low = grad.new_empty(len(by_out), self.low_features)
        self._low_gradient_into_(grad_low, by_out)
        if self.rank and seed is None:
            return grad_x, by_out, grad_low, self.a
        self.add_low_gradient_(grad_x, grad_low, seed)
        return grad_x, by_out, grad_low, None

    def _low_gradient_into_(self, grad_low: Tensor, grad: Tensor) -> None:
        """Write s · dy B to `grad_low` [n, P·r] for dy, `grad` [n, M]."""
        if self.by_parts:
            low_gradients(grad, self.own_b, self.ends, self.rank, 0, self.scale, grad_low)
            return
        for number, part in enumerate(self.parts if self.rank else ()):
            of_part = grad_low[:, number * self.rank : (number + 1) * self.rank]
            b = self.own_b[part.columns]
            torch.addmm(of_part, grad[:, part.columns], b, beta=0, alpha=self.scale, out=of_part)
