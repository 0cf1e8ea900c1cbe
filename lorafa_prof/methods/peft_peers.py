"""What the PEFT peers share: wrapping a model with PEFT's own layers, in the adapter type asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import nn

from lorafa_prof.cell import Dtype
from lorafa_prof.errors import LorafaProfError, UsageError, described
from lorafa_prof.layers.drawing import own_random_numbers
from lorafa_prof.layers.linear_maps import classification_head, computes_a_linear_map
from lorafa_prof.layers.targets import ALL_LINEAR, ATTENTION, find_targets
from lorafa_prof.methods.base import Setting
from lorafa_prof.methods.low_rank_options import LowRankOptions, Names
from lorafa_prof.methods.narrowing import check_patterns, in_layers, modules_to_save
from lorafa_prof.methods.peft_quantized import register_stand_ins
from lorafa_prof.models.preset import CLASSIFIES, Task
from lorafa_prof.registry import nearest
from lorafa_prof.versions import check_version
from lorafa_prof.words.phrases import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: None: PEFT has no type of task for it.
PEFT_TASKS: dict[Task, str | None] = {
    "causal-lm": "CAUSAL_LM",
    "seq2seq-lm": "SEQ_2_SEQ_LM",
    "sequence-classification": "SEQ_CLS",
    "image-classification": None,
    "speech-recognition": None,
    "image-text-pairs": None,
}


class PeftLoraOptions(LowRankOptions):
    """Options of PEFT's LoRA; the defaults are PEFT's own, targets included (None: PEFT's choice)."""

    targets: Names | None = Field(  # type: ignore[assignment]
        None,
        description="Adapted layers: all-linear, or names such as q_proj,v_proj; without any PEFT's choice.",
    )


def peft_adapter_dtype(dtype: Dtype) -> Dtype:
    """Return PEFT's default adapter type for a base of type `dtype`: float32 for 16-bit, else the base's.

    PEFT calls this `autocast_adapter_dtype=True`.
    """
    return "fp32" if dtype in ("bf16", "fp16") else dtype


def require_peft() -> Any:
    """Return the module `peft`.

    Raises:
        UsageError: it is not installed, or too old.
    """
    check_version("peft")
    try:
        import peft
    except ImportError as error:
        raise UsageError(f"PEFT peers need the extra: pip install 'lorafa-prof[peft]' ({error})") from error
    return peft


def make_peft_config(config_class: Any, **fields: Any) -> Any:
    """Return a config of this class of PEFT's.

    Raises:
        UsageError: the class refuses the fields.
    """
    try:
        return config_class(**fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{config_class.__name__}: {one_line(str(error))}") from error


def new_head(model: PreTrainedModel, setting: Setting) -> list[str]:
    """Return the name of a head that trains only if a PEFT config says so; none if there is none such.

    PEFT lets a new head train by itself where its type of task is SEQ_CLS. For images its own guide names it
    (docs/source/task_guides/image_classification_lora.md).
    """
    is_unknown = setting.task in CLASSIFIES and PEFT_TASKS[setting.task] is None
    head = classification_head(model) if is_unknown else None
    return [head[0]] if head else []


def add_peft_adapter(model: PreTrainedModel, config: Any, adapter_dtype: torch.dtype) -> nn.Module:
    """Wrap `model` by PEFT, with adapters stored in `adapter_dtype`.

    Args:
        model: a model without adapters.
        config: a `peft.PeftConfig`.
        adapter_dtype: the type that PEFT's automatic cast would give, or another; set after that cast.

    Raises:
        UsageError: PEFT refuses the config for this model, its layers fail on one of the model's, or its
            adapter goes beside no quantized base.
    """
    peft = require_peft()
    register_stand_ins(config, model)
    base_dtype = model.dtype
    try:
        wrapped = peft.get_peft_model(model, config)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UsageError(f"PEFT refuses this model: {one_line(str(error))}") from error
    except (LorafaProfError, MemoryError, RuntimeError):  # memory that runs out is a result
        raise
    except Exception as error:
        raise UsageError(f"PEFT cannot wrap this model: {described(error)}") from error
    _check_layers(wrapped)
    prefix = getattr(wrapped.base_model, "prefix", None)  # "lora_", "vera_", …; prompt methods have none
    for name, parameter in wrapped.named_parameters():
        if prefix and prefix in name and parameter.is_floating_point():
            if parameter.is_meta:  # PEFT casts others to the base's type first, which rounds them
                parameter.data = parameter.data.to(base_dtype)
            parameter.data = parameter.data.to(adapter_dtype)
    for layer in wrapped.modules():
        if isinstance(layer, peft.tuners.tuners_utils.BaseTunerLayer):
            for name, buffer in layer.named_buffers():  # such as the fixed matrices of VeRA
                if buffer.is_floating_point() and not name.startswith("base_layer."):
                    buffer.data = buffer.data.to(adapter_dtype)
    wrapped.train()
    return wrapped  # type: ignore[no-any-return]


def _check_layers(wrapped: nn.Module) -> None:
    """Raise UsageError for a layer that PEFT adapts and that its own would fail with, in the first step.

    PEFT's rules go by the class, to which a router that gives its choice too may be a kind of nn.Linear.
    """
    model: Any = wrapped
    for path, layer in model.get_base_model().named_modules():
        base = getattr(layer, "base_layer", None)
        if isinstance(base, nn.Linear) and not computes_a_linear_map(base):
            what = f"a {type(base).__name__} computes more than a linear map"
            raise UsageError(
                f"PEFT adapts '{path}' and fails there: {what}; set other targets", about="targets"
            )


def peft_lora_model(model: PreTrainedModel, options: PeftLoraOptions, setting: Setting) -> nn.Module:
    """Wrap `model` by PEFT's LoRA, whose own rules decide what the targets are.

    Raises:
        UsageError: a target matches nothing, or PEFT refuses the options for this model.
    """
    peft = require_peft()
    layers = [name for name, _ in model.named_modules()]
    modules_to_save(model, options.saved_modules)
    config = make_peft_config(
        peft.LoraConfig,
        task_type=PEFT_TASKS[setting.task],
        r=options.rank,
        lora_alpha=options.alpha,
        target_modules=_target_modules(model, options),
        lora_dropout=options.dropout,
        use_rslora=options.rslora,
        layers_to_transform=options.layers_to_transform,
        rank_pattern=dict(options.rank_pattern or {}),
        alpha_pattern=dict(options.alpha_pattern or {}),
        modules_to_save=list(dict.fromkeys((*options.saved_modules, *new_head(model, setting)))) or None,
    )
    try:
        with own_random_numbers(options.draw_seed, next(model.parameters()).device):
            wrapped = add_peft_adapter(model, config, setting.adapter_dtype)
    except UsageError as error:
        if options.targets is None and "target_modules" in str(error):
            kind = model.config.model_type
            raise UsageError(f"PEFT has no targets of its own for type '{kind}'; set targets") from error
        raise
    finally:
        _check_names(options.targets, config, layers)
    tuner: Any = wrapped.base_model
    check_patterns(options, [*tuner.targeted_module_names, *tuner.targeted_parameter_names])
    return wrapped


def _target_modules(model: PreTrainedModel, options: PeftLoraOptions) -> str | list[str] | None:
    """Return what PEFT's config takes for our targets; ``all-linear`` is a word of PEFT's own."""
    if options.targets is None or options.targets == ALL_LINEAR:
        return options.targets
    if options.targets == ATTENTION:
        # Of whole paths PEFT takes those of all layers.
        targets = in_layers(find_targets(model, ATTENTION), options.layers_to_transform)
        return [path for path, target in targets.items() if target.weight_name is None]
    return options.targets.split(",")


def _check_names(targets: str | None, config: Any, layers: Sequence[str]) -> None:
    """Raise UsageError for a name in `targets` that is the end of no path in `layers`.

    PEFT is silent about one if another matches. What it found to be a part of weights, such as
    Mixtral's w1, is no longer in its `config`.
    """
    if targets in (None, ALL_LINEAR, ATTENTION):
        return
    for name in targets.split(","):
        if name in config.target_modules and not any(f".{layer}".endswith(f".{name}") for layer in layers):
            known = sorted({layer.rsplit(".", 1)[-1] for layer in layers})
            raise UsageError(f"no layer is called '{name}'{nearest(name, known)}", about="targets")
