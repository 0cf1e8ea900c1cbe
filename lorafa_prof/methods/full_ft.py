"""Full fine-tuning: every weight trains, but for those that the model itself keeps as they are."""

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
    """Let every parameter of `model` train.

    transformers creates some that do not, such as Whisper's positions of sound, which are sines.

    Raises:
        UsageError: the base is quantized.
    """
    check_trains_no_base(model, "full-ft")
    return Prepared(model, make_optimizer(setting.optimizer, model.parameters(), setting.update))


METHOD = Method(
    name="full-ft",
    summary="every weight trains that the model does not keep as it is",
    options=FullFtOptions,
    prepare=prepare,
    default_adapter_dtype=None,
)
