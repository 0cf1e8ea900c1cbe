"""A packed product of layers in 8-bit floats (`quantized/fp8_products.py`), with adapters in their own type.

No adapter can ride on a product of 8 bits, so what it adds is added after that, part by part, by the layer's
own B. The A's lie one after the other, the layers' own ones views of that, so low is one product. Nothing is
held twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lorafa_prof.layers.packed.copies import Copied
from lorafa_prof.layers.packed.low_rank import add_low_rank
from lorafa_prof.layers.packed.product import PackedProduct
from lorafa_prof.layers.quantized.fp8_products import fp8_input_gradient, fp8_product


@dataclass(frozen=True)
class Fp8Projection(PackedProduct):
    """The module's product.

    Attributes:
        weight: [M, h] in 8 bits.
        weight_scale: of each of its rows, [M].
        own_a: all A's [P·r, h], in their type.
    """

    weight: Tensor
    weight_scale: Tensor
    own_a: Tensor

    @property
    def a(self) -> Tensor:
        """All A's [P·r, h], in their type."""
        return self.own_a

    @property
    def spare(self) -> int:
        """None: no gradient needs room beside it."""
        return 0

    @property
    def copied(self) -> tuple[Copied, ...]:
        """Nothing."""
        return ()

    def new_input(self, x: Tensor) -> Tensor:
        """Return an empty [n, h] for x [n, .]."""
        return x.new_empty(len(x), self.width)

    def product(self, x: Tensor, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return y [n, M] and low [n, P·r] for x [n, h]."""
        y = fp8_product(x, self.weight, self.weight_scale, self.bias)
        low = self.low_into_(x.new_empty(len(x), self.low_features), x, seed)
        self._add_low_(y, low)
        return y, low

    def onto(self, x: Tensor, residual: Tensor, seed: int | None) -> tuple[Tensor, Tensor | None]:
        """Return residual + y [n, M] and low [n, P·r] for x [n, h]."""
        y = fp8_product(x, self.weight, self.weight_scale, self.bias)
        low = self.low_into_(x.new_empty(len(x), self.low_features), x, seed)
        (part,) = self.parts
        if part.b is None:
            return y.add_(residual), None
        add_low_rank(y, residual, low[:, self.low_columns(0)], part.b.to(y.dtype), 0, 0.0, y)
        return y, low

    def input_gradient(self, grad: Tensor, seed: int | None) -> tuple[Tensor, Tensor]:
        """Return dL/dx [n, h] and s · dy B [n, P·r] for grad [n, M]."""
        grad_x, grad_low = fp8_input_gradient(grad, self.weight, self.weight_scale), self._low_gradient(grad)
        if self.rank:
            self.add_low_gradient_(grad_x, grad_low, seed)
        return grad_x, grad_low

    def output_gradients(
        self, grad: Tensor, seed: int | None, needs_input: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return dL/dx [n, h] or None, dL/dy [n, M] and s · dy B [n, P·r] for dL/dy [.., M]."""
        by_out = grad.reshape(-1, self.out_features)
        if not needs_input:
            return None, by_out, self._low_gradient(by_out)
        grad_x, grad_low = self.input_gradient(by_out, seed)
        return grad_x, by_out, grad_low

    def _add_low_(self, y: Tensor, low: Tensor) -> None:
        """Add every part's low Bᵀ to its columns of y [n, M]."""
        for number, part in enumerate(self.parts):
            if part.adapter is not None and part.b is not None:
                b, of_part = part.b.to(y.dtype), low[:, self.low_columns(number)]
                y[:, part.columns].addmm_(of_part, b.t(), alpha=part.adapter.scale / self.scale)

    def _low_gradient(self, grad: Tensor) -> Tensor:
        """Return s · dy B [n, P·r] for grad [n, M]."""
        low = grad.new_zeros(len(grad), self.low_features)
        for number, part in enumerate(self.parts):
            if part.adapter is not None and part.b is not None:
                b, of_part = part.b.to(grad.dtype), low[:, self.low_columns(number)]
                of_part.addmm_(grad[:, part.columns], b, alpha=part.adapter.scale)
        return low
