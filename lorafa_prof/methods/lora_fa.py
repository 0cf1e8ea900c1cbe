"""LoRA-FA (arXiv 2308.03303): only B trains, its gradient corrected in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lorafa_prof.layers.low_rank_embedding import LoraFaEmbedding
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.layers.low_rank_weight import LoraFaWeight
from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting
from lorafa_prof.methods.low_rank import AdapterLayers, add_adapters, same_as_base
from lorafa_prof.methods.low_rank_options import LowRankOptions
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.optim.lora_fa import LoraFaCorrection

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Add LoRA-FA layers and the gradient correction.

    Raises:
        UsageError: a name in the targets matches nothing, or no target can have an adapter of this rank.
    """
    layers = AdapterLayers(LoraFaLinear, LoraFaEmbedding, LoraFaWeight)
    notes = add_adapters(model, layers, cast(LowRankOptions, options), setting)
    correction = LoraFaCorrection.of(
        module
        for module in model.modules()
        if isinstance(module, (LoraFaLinear, LoraFaEmbedding, LoraFaWeight))
    )
    optimizer = make_optimizer(setting.optimizer, model.parameters(), setting.update)
    optimizer.register_step_pre_hook(correction)
    return Prepared(model, optimizer, tuple(matrix for _, matrix in correction.matrices), notes)


METHOD = Method(
    name="lora-fa",
    summary="only B of low-rank adapters trains; A and the base are frozen, so inputs are not kept",
    options=LowRankOptions,
    prepare=prepare,
    default_adapter_dtype=same_as_base,
)
