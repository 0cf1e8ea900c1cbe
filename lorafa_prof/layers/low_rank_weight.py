"""A low-rank adapter on a weight that a model multiplies by itself: of experts in one tensor, or of a router.

Such a weight has no layer that could be replaced. Instead the module that owns it gets an `AdaptedWeight`
where it reads the weight, by PyTorch's parametrizations. That takes part in the module's products, grouped,
batched or one expert at a time, which then are those of W + s · B A, without this sum ever being formed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.autocast_type import in_autocast_type
from lorafa_prof.layers.factors import new_factors
from lorafa_prof.layers.frozen import check_frozen
from lorafa_prof.layers.low_rank_functions import LoraFaFunction, LoraFunction
from lorafa_prof.layers.low_rank_products import (
    GROUPED,
    ExpertsLoraFaFunction,
    ExpertsLoraFunction,
    Multiply,
    aligned_width,
)

Function = type[torch.autograd.Function]


class LowRankWeight(nn.Module):
    """Common part of the LoRA and LoRA-FA adapters of a weight: A [.., r, in] and B [.., out, r].

    Attributes:
        one: the autograd function of a product by one matrix.
        many: that of a product by the matrices of several experts.
        path: where its list of parametrizations is in its model, for messages.

    Args:
        weight: [E, out, in] of experts or [out, in]; [E, in, out] if `turned`.
        turned: whether `weight` has its inputs before its outputs.
        rank: r.
        scale: s, the factor on the low-rank path.
        dropout: probability on the low-rank path's input, in [0, 1).
        adapter_dtype: type in which A and B are stored.
    """

    one: ClassVar[Function]
    many: ClassVar[Function]
    path: str = ""

    def __init__(
        self,
        weight: Tensor,
        *,
        turned: bool,
        rank: int,
        scale: float,
        dropout: float,
        adapter_dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.turned = turned
        self.rank = rank
        self.scale = scale
        self.dropout = dropout
        out_by_in = weight.mT if turned else weight
        *experts, out_features, in_features = out_by_in.shape
        self.lora_A, self.lora_B = new_factors(
            weight, rank, in_features, out_features, adapter_dtype, of=tuple(experts)
        )

    @property
    def probability(self) -> float:
        """The dropout probability that applies now: 0 outside of training."""
        return self.dropout if self.training else 0.0

    def forward(self, weight: Tensor) -> AdaptedWeight:
        """Return what stands for the adapted `weight`, which is stored as it was given to the constructor.

        Raises:
            UsageError: the weight was thawed.
        """
        check_frozen(self, {"original": weight})
        return AdaptedWeight(self, weight, self.lora_A, self.lora_B, inputs_first=self.turned)

    def widths(self, dtype: torch.dtype) -> set[int]:
        """Return how many columns of this type x Aᵀ may have."""
        return {self.rank, aligned_width(self.rank, dtype)}

    def extra_repr(self) -> str:
        """Return rank, scale and dropout as text, for the module's printed form."""
        return f"rank={self.rank}, scale={self.scale:g}, dropout={self.dropout:g}"


class LoraWeight(LowRankWeight):
    """LoRA: A and B train."""

    one, many = LoraFunction, ExpertsLoraFunction


class LoraFaWeight(LowRankWeight):
    """LoRA-FA (arXiv 2308.03303): A is frozen too, only B trains."""

    one, many = LoraFaFunction, ExpertsLoraFaFunction

    def __init__(self, weight: Tensor, **options: Any) -> None:
        super().__init__(weight, **options)
        self.lora_A.requires_grad_(False)

    def forward(self, weight: Tensor) -> AdaptedWeight:
        """Return what stands for the adapted `weight`, as LoRA does.

        Raises:
            UsageError: A was thawed.
        """
        check_frozen(self, {"0.lora_A": self.lora_A})
        return super().forward(weight)


def adapt_weight(owner: nn.Module, name: str, adapter: LowRankWeight) -> None:
    """Let `owner`, which multiplies by its parameter `name` itself, read it adapted by `adapter`."""
    parametrize.register_parametrization(owner, name, adapter, unsafe=True)  # it gives no tensor


def weight_adapters(owner: nn.Module) -> list[LowRankWeight]:
    """Return the adapters of the weights that `owner` reads itself."""
    if not parametrize.is_parametrized(owner):
        return []
    return [
        adapter
        for chain in owner.parametrizations.values()  # type: ignore[operator]
        for adapter in chain
        if isinstance(adapter, LowRankWeight)
    ]


@dataclass(frozen=True)
class AdaptedWeight:
    """Stands for W + s · B A in the products of a model, which takes it for a tensor.

    Attributes:
        adapter: says how products are computed.
        weight: W as the model sees it now, [.., out, in], or [.., in, out] with `inputs_first`.
        a: A [.., r, in] of the experts in `weight`.
        b: B [.., out, r] of them.
        inputs_first: whether `weight` has its inputs before its outputs.
    """

    adapter: LowRankWeight
    weight: Tensor
    a: Tensor
    b: Tensor
    inputs_first: bool

    def __getattr__(self, name: str) -> Any:
        # What it is asked for beside products: shape, dtype, device, dim(), size(), data_ptr().
        if name in _AS_THE_WEIGHT:
            return getattr(self.weight, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def transpose(self, first: int, second: int) -> AdaptedWeight:
        """Return it with inputs and outputs the other way round."""
        axes = {first % self.weight.dim(), second % self.weight.dim()}
        if axes != {self.weight.dim() - 2, self.weight.dim() - 1}:
            raise _unknown(f"transpose({first}, {second})")
        return replace(self, weight=self.weight.mT, inputs_first=not self.inputs_first)

    @property
    def mT(self) -> AdaptedWeight:
        """It with inputs and outputs the other way round."""
        return self.transpose(-2, -1)

    @property
    def T(self) -> AdaptedWeight:
        """One matrix with inputs and outputs the other way round."""
        return self.t()

    def t(self) -> AdaptedWeight:
        """Return one matrix with inputs and outputs the other way round."""
        if self.weight.dim() != 2:
            raise _unknown("t")
        return self.transpose(0, 1)

    def __getitem__(self, experts: Any) -> AdaptedWeight:
        """Return the adapted weight of one expert, or of those whose numbers are in a tensor."""
        if self.weight.dim() != 3 or not isinstance(experts, (int, Tensor)):
            raise _unknown(f"[{experts}]")
        return replace(self, weight=self.weight[experts], a=self.a[experts], b=self.b[experts])

    def to(self, dtype: torch.dtype) -> AdaptedWeight:
        """Return it with its weight in this type; A and B are computed with in their input's type anyway."""
        if not isinstance(dtype, torch.dtype):
            raise _unknown(f"to({dtype})")
        return replace(self, weight=self.weight.to(dtype))

    type = to

    def float(self) -> AdaptedWeight:
        """Return it with its weight in float32."""
        return self.to(torch.float32)

    def __matmul__(self, right: Tensor) -> Tensor:
        """Return the adapted weight times `right` [.., in, n]."""
        return self.mT.__rmatmul__(right.mT).mT

    def __rmatmul__(self, left: Tensor) -> Tensor:
        """Return `left` times the adapted weight."""
        return self.times(left) if self.weight.dim() == 2 else self.times_each(left)

    def times(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return x [.., in] times one adapted matrix [in, out] (+ bias)."""
        self._check_inputs_first("a product from the left", dimensions=2)
        adapter = self.adapter
        x = in_autocast_type(x)
        y: Tensor = adapter.one.apply(
            x.reshape(-1, x.shape[-1]),
            self.weight,
            bias,
            self.a,
            self.b,
            adapter.scale,
            adapter.probability,
        )
        return y.view(*x.shape[:-1], -1)

    def times_each(self, x: Tensor, multiply: Multiply | None = None, ends: Tensor | None = None) -> Tensor:
        """Return the experts' rows in x times their adapted matrices [E, in, out].

        By `multiply` where the rows in x [tokens, in] of each expert end at `ends`; batched, [E, tokens, in],
        where these are None.
        """
        self._check_inputs_first("a product of several experts", dimensions=3)
        adapter = self.adapter
        y: Tensor = adapter.many.apply(
            x, self.weight, self.a, self.b, adapter.scale, adapter.probability, multiply, ends
        )
        return y

    def _check_inputs_first(self, what: str, *, dimensions: int) -> None:
        if not self.inputs_first or self.weight.dim() != dimensions:
            raise _unknown(f"{what} by {tuple(self.weight.shape)}")

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute a product of PyTorch's that an adapted weight takes part in."""
        compute = _PRODUCTS.get(func) or _PRODUCTS.get(getattr(func, "__name__", ""))
        if compute is None:
            raise _unknown(getattr(func, "__name__", str(func)))
        return compute(func, *args, **(kwargs or {}))


#: Attributes of a weight that say nothing of its values.
_AS_THE_WEIGHT = frozenset(
    {"shape", "dtype", "device", "ndim", "is_cuda", "dim", "size", "stride", "numel", "data_ptr", "layout"}
)


def _unknown(what: str) -> UsageError:
    return UsageError(
        f"the model uses a weight of its experts or router in a way that our adapters do not know ({what}); "
        "name targets without it",
        about="targets",
    )


def _linear(func: Any, x: Tensor, weight: AdaptedWeight, bias: Tensor | None = None) -> Tensor:
    return weight.mT.times(x, bias)


def _matmul(func: Any, left: Any, right: Any) -> Tensor:
    y: Tensor = left.__matmul__(right) if isinstance(left, AdaptedWeight) else right.__rmatmul__(left)
    return y


def _grouped(func: Any, x: Tensor, weight: AdaptedWeight, offs: Tensor, **more: Any) -> Tensor:
    if any(value is not None for value in more.values()):
        raise _unknown(f"grouped_mm with {', '.join(more)}")
    return weight.times_each(x, func, offs)


_PRODUCTS: dict[Any, Callable[..., Tensor]] = {
    F.linear: _linear,
    **dict.fromkeys((torch.matmul, torch.mm, torch.bmm, Tensor.matmul, Tensor.__matmul__), _matmul),
    **dict.fromkeys(GROUPED, _grouped),
    # transformers' own, where PyTorch has none for the device
    "grouped_mm_fallback": _grouped,
}
