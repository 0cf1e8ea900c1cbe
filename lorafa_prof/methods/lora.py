"""LoRA (arXiv 2106.09685): A and B train beside a frozen base."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lorafa_prof.layers.low_rank_embedding import LoraEmbedding
from lorafa_prof.layers.low_rank_linear import LoraLinear
from lorafa_prof.layers.low_rank_weight import LoraWeight
from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting
from lorafa_prof.methods.low_rank import AdapterLayers, add_adapters, same_as_base
from lorafa_prof.methods.low_rank_options import LowRankOptions
from lorafa_prof.optim.choices import make_optimizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Add LoRA layers.

    Raises:
        UsageError: a name in the targets matches nothing, or no target can have an adapter of this rank.
    """
    layers = AdapterLayers(LoraLinear, LoraEmbedding, LoraWeight)
    notes = add_adapters(model, layers, cast(LowRankOptions, options), setting)
    return Prepared(model, make_optimizer(setting.optimizer, model.parameters(), setting.update), notes=notes)


METHOD = Method(
    name="lora",
    summary="A and B of low-rank adapters train, the base is frozen",
    options=LowRankOptions,
    prepare=prepare,
    default_adapter_dtype=same_as_base,
)
