"""Peer: any PEFT method, by its configuration (DoRA, VeRA, IA3, …)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting
from lorafa_prof.methods.peft_peers import (
    PEFT_TASKS,
    add_peft_adapter,
    make_peft_config,
    new_head,
    peft_adapter_dtype,
    require_peft,
)
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.registry import nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class PeftOptions(MethodOptions):
    """Options of a PEFT method.

    `config` has what PEFT's config class takes, and its `peft_type`; `tag` names the method in the table.

    Example: ``{name: peft, tag: dora, config: {peft_type: LORA, r: 16, use_dora: true}}``
    """

    config: dict[str, Any]
    tag: str | None = None


def make_config(options: PeftOptions, model: PreTrainedModel, setting: Setting) -> Any:
    """Return the `peft.PeftConfig` that `options` describe, for `model`.

    Raises:
        UsageError: `peft_type` is missing or unknown, or its config class does not have some key.
    """
    peft = require_peft()
    fields = dict(options.config)
    peft_type = str(fields.pop("peft_type", "")).upper()
    known = {str(kind.value): cls for kind, cls in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if peft_type not in known:
        raise UsageError(f"unknown peft_type '{peft_type}'{nearest(peft_type, list(known))}")
    config_class = known[peft_type]
    parameters = list(inspect.signature(config_class).parameters)
    for key in fields:
        if key not in parameters:
            raise UsageError(f"{config_class.__name__} has no '{key}'{nearest(key, parameters)}")
    fields.setdefault("task_type", PEFT_TASKS[setting.task])
    if "modules_to_save" in parameters:
        fields.setdefault("modules_to_save", new_head(model, setting) or None)
    return make_peft_config(config_class, **fields)


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Wrap `model` by the PEFT method.

    Raises:
        UsageError: the options make no PEFT config, or PEFT refuses it for this model.
    """
    config = make_config(cast(PeftOptions, options), model, setting)
    wrapped = add_peft_adapter(model, config, setting.adapter_dtype)
    return Prepared(wrapped, make_optimizer(setting.optimizer, wrapped.parameters(), setting.update))


def label(options: MethodOptions) -> str:
    """Return ``peft:`` and the tag, or the peft_type if there is no tag."""
    chosen = cast(PeftOptions, options)
    return f"peft:{chosen.tag or str(chosen.config.get('peft_type', '')).lower()}"


METHOD = Method(
    name="peft",
    summary="peer: any PEFT method by its config, such as DoRA, VeRA, IA3 (extra: peft)",
    options=PeftOptions,
    prepare=prepare,
    default_adapter_dtype=peft_adapter_dtype,
    label=label,
    prepares_later=False,  # PiSSA, DoRA and others start from what the base's weights are
)
