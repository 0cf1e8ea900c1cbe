"""The kind of a saved tensor, by one rule: where it was saved, by what operation, and its type."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorafa_prof.layers.low_rank_linear import LowRankLinear, is_linear
from lorafa_prof.layers.low_rank_weight import weight_adapters
from lorafa_prof.parts import SavedKind

LOSS_OPS = frozenset(
    {"cross_entropy", "log_softmax", "nll_loss", "mse_loss", "binary_cross_entropy_with_logits"}
)
DROPOUT_OPS = frozenset({"dropout", "native_dropout", "dropout_", "alpha_dropout"})


@dataclass(frozen=True)
class SavePoint:
    """Where and by what operation a tensor was saved.

    Attributes:
        path: path of the innermost module in forward; empty outside the model's modules.
        modules: the modules in forward, outermost first.
        op: the Python-level operation under way ("linear", "mul", "scaled_dot_product_attention"); empty if
            there is none, as in an autograd function of Python.
    """

    path: str
    modules: tuple[nn.Module, ...]
    op: str


def _in_adapter(path: str) -> bool:
    # PEFT's names; ours are one module and told by their class.
    return any(part.startswith(("lora_", "vera_", "ia3_")) for part in path.split("."))


def _class_names(modules: tuple[nn.Module, ...]) -> list[str]:
    return [type(module).__name__ for module in modules]


def kind_of(point: SavePoint, shape: tuple[int, ...], dtype: torch.dtype, ranks: frozenset[int]) -> SavedKind:
    """Return the kind of a tensor of this shape and type saved at `point`.

    `ranks` are the ranks of the model's adapters: a linear's input that is rank wide is the low-rank
    product x Aᵀ, any other is x itself, whether the base or A asked for it.
    """
    if dtype == torch.bool or point.op in DROPOUT_OPS:
        return "dropout_mask"
    if point.op in LOSS_OPS or len(point.modules) <= 1:
        return "logits_loss"
    names = _class_names(point.modules)
    if "loss" in names[-1].lower():
        return "logits_loss"
    innermost = point.modules[-1]
    if isinstance(innermost, LowRankLinear) or is_linear(innermost):
        return "adapter" if shape[-1:] and shape[-1] in ranks else "linear_input"
    if _is_low_rank(shape, dtype, innermost):
        return "adapter"
    if "norm" in names[-1].lower():
        return "norm"
    if _in_adapter(point.path) or "lora" in names[-1].lower():
        return "adapter"
    if any("attention" in name.lower() or "rotary" in name.lower() for name in names):
        return "attention"
    if any(_is_mlp(name) for name in names):
        return "mlp_activation"
    return "other"


def _is_low_rank(shape: tuple[int, ...], dtype: torch.dtype, module: nn.Module) -> bool:
    """Whether a tensor is the product x Aᵀ of a weight that `module` multiplies by itself."""
    adapters = weight_adapters(module) if dtype.is_floating_point and shape else []
    return any(shape[-1] in adapter.widths(dtype) for adapter in adapters)


def is_cast_weight(tensor: Tensor, modules: tuple[nn.Module, ...]) -> bool:
    """Return whether a saved tensor is a copy of a weight of the innermost module, in another type.

    Autocast makes them, and nothing marks them: they are told by the weight's size, shape and layout. An
    input of nn.Linear never has those, since the weight is saved transposed; in other modules one that is as
    large as the weight may be taken for it. Our own low-rank layers keep no copies.
    """
    if not modules or isinstance(modules[-1], LowRankLinear) or not tensor.is_floating_point():
        return False
    return any(
        weight.dtype != tensor.dtype
        and weight.is_floating_point()
        and _is_laid_out_as(tensor, weight, modules[-1])
        for weight in modules[-1].parameters(recurse=False)
    )


def _is_laid_out_as(tensor: Tensor, weight: Tensor, module: nn.Module) -> bool:
    if tensor.untyped_storage().nbytes() != weight.numel() * tensor.element_size():
        return False
    layouts = [] if isinstance(module, nn.Linear) else [(weight.shape, weight.stride())]
    if weight.dim() >= 2:
        turned = weight.detach().transpose(-2, -1)
        layouts.append((turned.shape, turned.stride()))
    return (tensor.shape, tensor.stride()) in layouts


def _is_mlp(class_name: str) -> bool:
    lowered = class_name.lower()
    return any(
        word in lowered for word in ("mlp", "intermediate", "dense", "layerff", "activation", "gelu", "silu")
    )
