"""LoRA-FA (arXiv 2308.03303): only B trains, its gradient corrected in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import Field
from pydantic.json_schema import JsonSchemaValue

from lorafa_prof.frozen_data import Written
from lorafa_prof.layers.low_rank_embedding import LoraFaEmbedding
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.layers.low_rank_weight import LoraFaWeight
from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting
from lorafa_prof.methods.low_rank import AdapterLayers, add_adapters, same_as_base
from lorafa_prof.methods.low_rank_options import LowRankOptions
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.optim.lora_fa import AT_ONCE_BYTES, LoraFaCorrection

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def _canonical_correction(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"it should be true, false, each or batched, not {value}")
    return "each" if value is True else value


def _or_true(words: JsonSchemaValue) -> list[JsonSchemaValue]:
    return [words, {"const": True}]


class LoraFaOptions(LowRankOptions):
    """LoRA's options, and how gradients are corrected: each by a product of its own, many by one, or not.

    True is each. `batched` launches a few dozen kernels in the place of one for each layer, and holds copies
    of gradients for it, at most `AT_ONCE_BYTES` more. With False B's gradient is what it is with a frozen A.
    """

    added_later: ClassVar[tuple[str, ...]] = (*LowRankOptions.added_later, "correction")

    correction: Annotated[Literal["each", "batched", False], Written(_canonical_correction, _or_true)] = (
        Field(
            "each",
            description="How B's gradients are corrected: each by itself (true), batched, or not (false).",
        )
    )


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Add LoRA-FA layers and the gradient correction.

    Raises:
        UsageError: a name in the targets matches nothing, no target can have an adapter of this rank, or the
            rows of an A depend on each other.
    """
    fa_options = cast(LoraFaOptions, options)
    layers = AdapterLayers(LoraFaLinear, LoraFaEmbedding, LoraFaWeight)
    notes = add_adapters(model, layers, fa_options, setting)
    if fa_options.correction is False:
        optimizer = make_optimizer(setting.optimizer, model.parameters(), setting.update)
        return Prepared(model, optimizer, notes=notes)
    correction = LoraFaCorrection(
        (
            module
            for module in model.modules()
            if isinstance(module, (LoraFaLinear, LoraFaEmbedding, LoraFaWeight))
        ),
        at_once_bytes=AT_ONCE_BYTES if fa_options.correction == "batched" else 0,
    )
    optimizer = make_optimizer(setting.optimizer, model.parameters(), setting.update)
    optimizer.register_step_pre_hook(correction)
    return Prepared(model, optimizer, correction.tensors, notes, correction.follow)


def label(options: MethodOptions) -> str:
    """Return the method's name in tables, in which what is not corrected is told apart."""
    return "lora-fa" if cast(LoraFaOptions, options).correction else "lora-fa-uncorrected"


METHOD = Method(
    name="lora-fa",
    summary="only B of low-rank adapters trains; A and the base are frozen, so inputs are not kept",
    options=LoraFaOptions,
    prepare=prepare,
    default_adapter_dtype=same_as_base,
    label=label,
)
