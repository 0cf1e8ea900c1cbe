"""How a cell's base is quantized: the values of `quantization`, and the layers it leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.linear_maps import classification_head
from lorafa_prof.registry import nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FOUR_BIT = ("nf4", "fp4")
EIGHT_BIT = "int8"
EIGHT_BIT_FLOAT = "fp8"
#: Those that bitsandbytes does.
BY_BITSANDBYTES = (*FOUR_BIT, EIGHT_BIT)
QUANTIZATIONS = ("none", *BY_BITSANDBYTES, EIGHT_BIT_FLOAT)


@dataclass(frozen=True)
class Quantization:
    """What is done to the weights of a frozen base.

    Attributes:
        kind: one of `QUANTIZATIONS`.
        double: whether the statistics of 4-bit weights are quantized too, as QLoRA has it.
        left_alone: names of layers, or their ends, that stay as they are beside those of `layers_left_alone`.
    """

    kind: str = "none"
    double: bool = False
    left_alone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.kind != "none"


NOT_QUANTIZED = Quantization()


def check_quantization(quantization: Quantization, *, dtype: torch.dtype) -> None:
    """Refuse what there is not.

    Raises:
        UsageError: there is no such quantization, it has no double one, or none of weights of `dtype`.
    """
    kind = quantization.kind
    if kind not in QUANTIZATIONS:
        raise UsageError(
            f"unknown quantization '{kind}'{nearest(kind, list(QUANTIZATIONS))}; "
            f"known: {', '.join(QUANTIZATIONS)}",
            about="quantization",
        )
    if quantization.double and kind not in FOUR_BIT:
        raise UsageError(
            f"double_quant is of 4-bit weights (quantization {' or '.join(FOUR_BIT)}), "
            f"and quantization is {kind}",
            about="double_quant",
        )
    if quantization and dtype == torch.float64:
        raise UsageError(
            f"quantization '{kind}' is of weights in fp32, bf16 or fp16, and dtype is fp64", about="dtype"
        )


def layers_left_alone(model: PreTrainedModel, more: Iterable[str] = ()) -> list[str]:
    """Return names of layers that are not quantized, by the rule of transformers and one more.

    They are the output layer, tied weights, the last layer and what the model wants in float32. The head of a
    classifier is left alone too: it trains.
    """
    from transformers.quantizers.base import get_keys_to_not_convert

    head = classification_head(model)
    names: set[str] = {*get_keys_to_not_convert(model), *(model._keep_in_fp32_modules or ()), *more}
    return sorted(names | ({head[0]} if head else set()))


def is_left_alone(name: str, left_alone: list[str]) -> bool:
    """Return whether the layer of this name is among them, by the rule of transformers."""
    from transformers.quantizers.quantizers_utils import should_convert_module

    return not should_convert_module(name, left_alone)


def check_trains_no_base(model: nn.Module, method: str) -> None:
    """Raise UsageError where `method`, which trains the base's own weights, met a quantized one."""
    from lorafa_prof.layers.quantized.state import has_quantized

    if has_quantized(model):
        raise UsageError(
            f"{method} trains the base's weights, and of a quantized base they have 4 or 8 bits, which no "
            "gradient can change: take quantization none, or a method that freezes the base",
            about="quantization",
        )
