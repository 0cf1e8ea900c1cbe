"""A frozen linear layer whose weight is kept in 8-bit floats and multiplied so, forward and backward."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.autocast_type import in_autocast_type
from lorafa_prof.layers.quantized.fp8_products import (
    MULTIPLE,
    fp8_input_gradient,
    fp8_product,
    quantized_rows,
)
from lorafa_prof.layers.quantized.frozen_product import FrozenProduct


class Fp8Linear(nn.Linear):
    """A frozen linear layer by `fp8_products`: W [out, in] in 8 bits, and the scale of each row [out].

    No other copy of W is held, neither a dense nor a transposed one. The same code runs on GPUs, on shapes
    and, in 32 bits, on the CPU.

    Args:
        weight: the dense weight, [out, in].
        bias: or None.

    Raises:
        UsageError: its sides are no multiples of 16.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, bias: nn.Parameter | None) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        if self.in_features % MULTIPLE or self.out_features % MULTIPLE:
            raise UsageError(
                f"quantization 'fp8' multiplies matrices whose sides are multiples of {MULTIPLE}, and a "
                f"layer of this model has {self.in_features} inputs and {self.out_features} outputs; "
                "set quantization to none, nf4 or int8",
                about="quantization",
            )
        rows, scale = quantized_rows(weight)
        self.weight = nn.Parameter(rows, requires_grad=False)
        self.register_buffer("scale", scale)
        self.register_parameter("bias", bias)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x Wᵀ (+ bias) for x [..., in]; nothing is kept for backward."""
        y = fp8_product(x.reshape(-1, x.shape[-1]), self.weight, self.scale, bias)
        return y.view(*x.shape[:-1], -1)

    def input_gradient(self, grad: Tensor) -> Tensor:
        """Return grad W for grad [..., out]."""
        grad_x = fp8_input_gradient(grad.reshape(-1, grad.shape[-1]), self.weight, self.scale)
        return grad_x.view(*grad.shape[:-1], -1)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [..., in] to [..., out], in the type of x, or in autocast's."""
        x = in_autocast_type(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return cast(Tensor, FrozenProduct.apply(x, self, bias))  # type: ignore[no-untyped-call]
