"""Which layers of a model have a low-rank adapter whose steps can be compared: ours, and those of PEFT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from lorafa_prof.layers.low_rank_embedding import LowRankEmbedding
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.low_rank_weight import LowRankWeight


@dataclass(frozen=True)
class Adapter:
    """A linear layer with an adapter: y = x Wᵀ + s · x Aᵀ Bᵀ.

    Attributes:
        path: of the layer in its model.
        layer: takes x [.., in] and gives y [.., out].
        a: A [r, in].
        b: B [out, r].
        scale: s.
    """

    path: str
    layer: nn.Module
    a: nn.Parameter
    b: nn.Parameter
    scale: float


def adapters_of(model: nn.Module) -> list[Adapter]:
    """Return the adapters of the model's linear layers."""
    return [adapter for path, module in model.named_modules() for adapter in _adapter(path, module)]


def others_of(model: nn.Module) -> list[str]:
    """Return the paths of adapters on what is no linear layer: embeddings, weights of experts."""
    return [
        path
        for path, module in model.named_modules()
        if isinstance(module, (LowRankEmbedding, LowRankWeight))
        or (_is_peft(module) and not _is_plain_peft(module))
    ]


def _adapter(path: str, module: nn.Module) -> Iterator[Adapter]:
    if isinstance(module, LowRankLinear):
        yield Adapter(path, module, module.lora_A, module.lora_B, module.scale)
    elif _is_peft(module) and _is_plain_peft(module):
        peft = cast(Any, module)
        (name,) = peft.lora_A
        yield Adapter(path, module, peft.lora_A[name].weight, peft.lora_B[name].weight, peft.scaling[name])


def _is_peft(module: nn.Module) -> bool:
    return isinstance(getattr(module, "lora_A", None), nn.ModuleDict)


def _is_plain_peft(module: nn.Module) -> bool:
    """Whether PEFT adds s · x Aᵀ Bᵀ to a linear layer's output, and nothing else (as DoRA does)."""
    peft = cast(Any, module)
    factors = [*peft.lora_A.values(), *peft.lora_B.values()]
    return (
        len(factors) == 2
        and all(type(factor) is nn.Linear for factor in factors)
        and not getattr(peft, "lora_variant", None)
        and not any(getattr(peft, "use_dora", {}).values())
    )
