"""A frozen linear layer with a low-rank adapter beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn

from lorafa_prof.layers.autocast_type import in_autocast_type, is_autocast
from lorafa_prof.layers.base_answers import AnswersAsBase
from lorafa_prof.layers.factors import new_factors
from lorafa_prof.layers.frozen import check_frozen
from lorafa_prof.layers.low_rank_functions import LoraFaFunction, LoraFunction
from lorafa_prof.layers.quantized.state import is_quantized
from lorafa_prof.layers.quantized.weight import QuantizedWeight, quantized_weight

if TYPE_CHECKING:
    from transformers.pytorch_utils import Conv1D
    from typing_extensions import TypeIs


def is_linear(module: nn.Module) -> bool:
    """Return whether `module` can have an adapter: it is nn.Linear or GPT-2's transposed Conv1D."""
    return isinstance(module, nn.Linear) or is_conv1d(module)


def is_conv1d(module: nn.Module) -> TypeIs[Conv1D]:
    """Return whether `module` is GPT-2's linear layer, which keeps its weight as [in, out]."""
    # transformers takes a second to import, and the methods are listed without it.
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def weight_in_by_out(base: nn.Module) -> Tensor | QuantizedWeight:
    """Return the weight of a linear layer as [in, out]; a view where the layer stores [out, in]."""
    if is_quantized(base):
        return quantized_weight(base)
    weight = cast(Tensor, base.weight)
    return weight if is_conv1d(base) else weight.t()


def in_by_out(base: nn.Module) -> tuple[int, int]:
    """Return how many numbers go into a linear layer, and how many come out; packed or not."""
    if is_conv1d(base):
        return base.nx, base.nf
    linear = cast(nn.Linear, base)
    return linear.in_features, linear.out_features


class LowRankLinear(AnswersAsBase):
    """Common part of the LoRA and LoRA-FA layers: the frozen base, A [r, in] and B [out, r].

    Attributes:
        function: the autograd function that computes the layer.
        path: where it is in its model, for messages.

    Args:
        base: nn.Linear, quantized or not, or Conv1D; its parameters are frozen here.
        rank: r.
        scale: s, the factor on the low-rank path.
        dropout: probability on the low-rank path's input, in [0, 1).
        adapter_dtype: type in which A and B are stored.
    """

    function: ClassVar[type[torch.autograd.Function]]
    path: str = ""

    def __init__(
        self, base: nn.Module, *, rank: int, scale: float, dropout: float, adapter_dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.rank = rank
        self.scale = scale
        self.dropout = dropout
        self.lora_A, self.lora_B = new_factors(
            cast(Tensor, base.weight), rank, *in_by_out(base), adapter_dtype
        )

    @property
    def probability(self) -> float:
        """The dropout probability that applies now: 0 outside of training."""
        return self.dropout if self.training else 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Map x [..., in] to [..., out].

        Raises:
            UsageError: what is frozen was thawed.
        """
        weight, a = weight_in_by_out(self.base), self.lora_A
        bias = cast(Tensor | None, self.base.bias)
        self.check_frozen(weight, bias, a)
        cast_x = self._in_compute_type(x)
        y: Tensor = self.function.apply(
            cast_x.reshape(-1, x.shape[-1]), weight, bias, a, self.lora_B, self.scale, self.probability
        )
        y = y.view(*x.shape[:-1], -1)
        return y if is_autocast(x) else y.to(x.dtype)

    def check_frozen(self, weight: Tensor | QuantizedWeight, bias: Tensor | None, a: Tensor) -> None:
        """Raise UsageError if one of the layer's own, which are given at hand, trains that must not."""
        del a  # trains, unless a method freezes it
        check_frozen(self, {"base.weight": weight, "base.bias": bias})

    def _in_compute_type(self, x: Tensor) -> Tensor:
        """Return x in autocast's type; where that is off, in that which a 4-bit base computes in."""
        own: torch.dtype | None = getattr(self.base, "compute_dtype", None)
        return in_autocast_type(x) if own is None or is_autocast(x) else x.to(own)

    def extra_repr(self) -> str:
        """Return rank, scale and dropout as text, for the module's printed form."""
        return f"rank={self.rank}, scale={self.scale:g}, dropout={self.dropout:g}"


class LoraLinear(LowRankLinear):
    """LoRA: A and B train."""

    function = LoraFunction


class LoraFaLinear(LowRankLinear):
    """LoRA-FA (arXiv 2308.03303): A is frozen too, only B trains."""

    function = LoraFaFunction

    def __init__(
        self, base: nn.Module, *, rank: int, scale: float, dropout: float, adapter_dtype: torch.dtype
    ) -> None:
        super().__init__(base, rank=rank, scale=scale, dropout=dropout, adapter_dtype=adapter_dtype)
        self.lora_A.requires_grad_(False)

    def check_frozen(self, weight: Tensor | QuantizedWeight, bias: Tensor | None, a: Tensor) -> None:
        """Raise UsageError if one of the layer's own, which are given at hand, trains that must not."""
        check_frozen(self, {"base.weight": weight, "base.bias": bias, "lora_A": a})
