"""Making one product of several linear layers, whose own weights become views of what it multiplies by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.packed.copies import Copied
from lorafa_prof.layers.packed.fp8_projection import Fp8Projection
from lorafa_prof.layers.packed.product import PackedProduct, Part
from lorafa_prof.layers.packed.projection import Projection
from lorafa_prof.layers.quantized.fp8 import Fp8Linear

#: Matrix products want rows that begin at multiples of so many bytes.
_ALIGNED_BYTES = 16


def pack(layers: Sequence[nn.Module]) -> PackedProduct:
    """Return one product of these linear layers, adapted or not, and make their weights views of its own.

    Raises:
        UsageError: a layer is none that can be packed, or they are not of one kind.
    """
    adapters = [layer if isinstance(layer, LowRankLinear) else None for layer in layers]
    bases = _bases(layers)
    first = next((adapter for adapter in adapters if adapter), None)
    ends = torch.tensor([base.out_features for base in bases]).cumsum(0).tolist()
    columns = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    biases = [base.bias for base in bases if base.bias is not None]
    shared = {
        "parts": tuple(Part(*part) for part in zip(bases, adapters, columns, strict=True)),
        "bias": biases[0].new_zeros(ends[-1]) if biases else None,
        "width": bases[0].in_features,
        "rank": _common_rank(adapters, bases[0].weight.dtype),
        "scale": first.scale if first else 1.0,
        "dropout": first.dropout if first else 0.0,
    }
    packed = _in_fp8(shared) if isinstance(bases[0], Fp8Linear) else _dense(shared)
    for part in packed.parts:
        if packed.bias is not None and part.base.bias is not None:
            _view(part.base.bias, packed.bias[part.columns])
    return packed


def _bases(layers: Sequence[nn.Module]) -> list[nn.Linear]:
    bases = [layer.base if isinstance(layer, LowRankLinear) else layer for layer in layers]
    kind = Fp8Linear if all(type(base) is Fp8Linear for base in bases) else nn.Linear
    for base in bases:
        if type(base) is not kind:
            raise UsageError(
                "kernels 'packed' packs linear layers, dense or in fp8, with the adapters of lora and "
                f"lora-fa or without, and no {type(base).__module__.partition('.')[0]} "
                f"{type(base).__name__}; set kernels to liger, fused or eager",
                about="kernels",
            )
    return cast(list[nn.Linear], bases)


def _dense(shared: dict[str, Any]) -> Projection:
    parts, rank = shared["parts"], shared["rank"]
    low_features = len(parts) * rank
    like = parts[0].base.weight
    buffer = like.new_zeros(parts[-1].columns.stop + low_features, shared["width"] + low_features)
    packed = Projection(**shared, buffer=buffer)
    for number, part in enumerate(packed.parts):
        _view(part.base.weight, buffer[part.columns, : packed.width])
        if part.adapter is not None:
            own = packed.low_columns(number)
            packed.of_adapters.append(Copied(part.adapter.lora_A, packed.a[own], 1.0))
            of_b = packed.b[part.columns, own]
            packed.of_adapters.append(Copied(part.adapter.lora_B, of_b, part.adapter.scale / packed.scale))
    return packed


def _in_fp8(shared: dict[str, Any]) -> Fp8Projection:
    parts, rank, width = shared["parts"], shared["rank"], shared["width"]
    out_features = parts[-1].columns.stop
    weight = parts[0].base.weight.new_empty(out_features, width)
    scale = parts[0].base.scale.new_empty(out_features)
    like_a = next((part.adapter.lora_A for part in parts if part.adapter), scale)
    own_a = like_a.new_zeros(len(parts) * rank, width)
    own_b = own_a.new_zeros(out_features, rank)
    packed = Fp8Projection(**shared, weight=weight, weight_scale=scale, own_a=own_a, own_b=own_b)
    for number, part in enumerate(packed.parts):
        _view(part.base.weight, weight[part.columns])
        _view(cast(Tensor, part.base.scale), scale[part.columns])
        if part.adapter is not None:
            _view(part.adapter.lora_A, own_a[packed.low_columns(number)])
            of_b = own_b[part.columns, : part.adapter.rank]
            if of_b.is_contiguous() and part.adapter.scale == packed.scale:
                _view(part.adapter.lora_B, of_b)
            else:
                packed.of_adapters.append(
                    Copied(part.adapter.lora_B, of_b, part.adapter.scale / packed.scale)
                )
    return packed


def _common_rank(adapters: Sequence[LowRankLinear | None], dtype: torch.dtype) -> int:
    """Return the largest rank, rounded up to what products beside weights of `dtype` want; 0 without any."""
    multiple = _ALIGNED_BYTES // max(2, dtype.itemsize)  # beside 8 bits adapters have 16
    return -(-max((adapter.rank for adapter in adapters if adapter), default=0) // multiple) * multiple


def _view(parameter: Tensor, place: Tensor) -> None:
    """Store `parameter` in `place`, with the values that it has."""
    with torch.no_grad():
        place.copy_(parameter)
    parameter.data = place
