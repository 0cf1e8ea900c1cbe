"""What LoRA and LoRA-FA share: freezing the base, placing the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from lorafa_prof.cell import Dtype
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.drawing import own_random_numbers
from lorafa_prof.layers.linear_maps import LinearMap, classification_head
from lorafa_prof.layers.low_rank_embedding import LowRankEmbedding
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.low_rank_weight import LowRankWeight, adapt_weight
from lorafa_prof.layers.targets import adaptable, find_targets, in_words
from lorafa_prof.methods.base import Setting
from lorafa_prof.methods.low_rank_options import LowRankOptions
from lorafa_prof.methods.narrowing import check_patterns, in_layers, is_below, modules_to_save
from lorafa_prof.models.preset import CLASSIFIES, Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def same_as_base(dtype: Dtype) -> Dtype:
    """Return the adapters' default type: that of the base."""
    return dtype


def freeze_base(model: nn.Module, task: Task) -> None:
    """Freeze all of `model` except for a classifier's head, which is new and so has nothing to keep."""
    model.requires_grad_(False)
    if task in CLASSIFIES:
        head = classification_head(model)
        if head:
            head[1].requires_grad_(True)


@dataclass(frozen=True)
class AdapterLayers:
    """What a method puts in the place of layers, and on weights that a module multiplies by itself."""

    linear: type[LowRankLinear]
    embedding: type[LowRankEmbedding]
    weight: type[LowRankWeight]


def add_adapters(
    model: PreTrainedModel, layers: AdapterLayers, options: LowRankOptions, setting: Setting
) -> tuple[str, ...]:
    """Freeze the base of `model`, give targets adapters, and return notes on those without one.

    Modules to be saved train whole, and have no adapters.

    Raises:
        UsageError: a name or a pattern matches nothing, no target can have an adapter of its rank, a module
            to be saved is quantized, or it shares its weight with a target.
    """
    saved = modules_to_save(model, options.saved_modules)
    targets = in_layers(find_targets(model, options.targets), options.layers_to_transform)
    targets = {path: target for path, target in targets.items() if not is_below(path, saved)}
    check_patterns(options, list(targets))
    targets, left_out = adaptable(targets, options.rank_at)
    freeze_base(model, setting.task)
    device = next(model.parameters()).device
    with own_random_numbers(options.draw_seed, device):
        _place_adapters(model, targets, layers, options, setting)
    for module in saved.values():
        module.requires_grad_(True)
    _check_bases(model)
    model.train()
    return (f"without an adapter: {in_words(left_out)}",) if left_out else ()


def _place_adapters(
    model: PreTrainedModel,
    targets: Mapping[str, LinearMap],
    layers: AdapterLayers,
    options: LowRankOptions,
    setting: Setting,
) -> None:
    for path, target in targets.items():
        settings: dict[str, Any] = {
            "rank": options.rank_at(path, target.matrices),
            "scale": options.scale_at(path, target.matrices),
            "dropout": options.dropout,
            "adapter_dtype": setting.adapter_dtype,
        }
        if target.weight_name is not None:
            adapter = layers.weight(target.weight, turned=target.turned, **settings)
            owner = path.removesuffix(f".{target.weight_name}")
            adapter.path = f"{owner}.parametrizations.{target.weight_name}"
            adapt_weight(target.module, target.weight_name, adapter)
        else:
            kind = layers.embedding if isinstance(target.module, nn.Embedding) else layers.linear
            layer = kind(target.module, **settings)  # type: ignore[arg-type]
            layer.path = path
            model.set_submodule(path, layer)


def _check_bases(model: nn.Module) -> None:
    """Raise UsageError if a layer with an adapter shares its weight with a module that trains whole."""
    for module in model.modules():
        if isinstance(module, LowRankLinear) and any(p.requires_grad for p in module.base.parameters()):
            raise UsageError(
                f"'{module.path}' has an adapter, and its weight is also that of a module to be saved, which "
                "trains; leave it out of targets, or that module out of modules_to_save",
                about="modules_to_save",
            )
