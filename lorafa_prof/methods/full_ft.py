"""Full fine-tuning: every weight trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting
from lorafa_prof.models.quantization import check_trains_no_base
from lorafa_prof.optim.choices import make_optimizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FullFtOptions(MethodOptions):
    """Options of full fine-tuning: it has none."""


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Make every parameter of `model` train.

    Raises:
        UsageError: the base is quantized.
    """
    check_trains_no_base(model, "full-ft")
    model.requires_grad_(True)
    return Prepared(model, make_optimizer(setting.optimizer, model.parameters(), setting.update))


METHOD = Method(
    name="full-ft",
    summary="every weight trains",
    options=FullFtOptions,
    prepare=prepare,
    default_adapter_dtype=None,
)
