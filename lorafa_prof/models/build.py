"""Building a network directly on its device and in its dtype, not by way of the host."""

from __future__ import annotations

import copy
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq,
    AutoModelForZeroShotImageClassification,
)

from lorafa_prof.errors import UsageError
from lorafa_prof.models.attention import (
    USUAL,
    attention_stand_ins,
    check_code,
    check_dropout,
    name_in_transformers,
)
from lorafa_prof.models.contrastive import always_return_loss
from lorafa_prof.models.deferred import Deferred
from lorafa_prof.models.preset import Task
from lorafa_prof.models.quantization import NOT_QUANTIZED, Quantization
from lorafa_prof.models.quantization_config import forget_quantization, quantization_of
from lorafa_prof.models.quantized_build import fill_linears, linears_left_empty
from lorafa_prof.models.recompute.choice import Checkpointing
from lorafa_prof.models.resolve import ResolvedModel
from lorafa_prof.registry import nearest
from lorafa_prof.shapes_only import has_values
from lorafa_prof.words.phrases import one_line

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

#: What builds a network for a task.
AUTO_CLASS: dict[Task, Any] = {
    "causal-lm": AutoModelForCausalLM,
    "seq2seq-lm": AutoModelForSeq2SeqLM,
    "sequence-classification": AutoModelForSequenceClassification,
    "image-classification": AutoModelForImageClassification,
    "speech-recognition": AutoModelForSpeechSeq2Seq,
    "image-text-pairs": AutoModelForZeroShotImageClassification,
}
#: What transformers says of an attention that a model has not, or that is not installed.
_OF_ATTENTION = re.compile(r"attn_implementation|attention implementation|flash.?att", re.IGNORECASE)
#: What comes of a config that lacks something, or has it in another form.
_OF_A_CONFIG = (AttributeError, TypeError, LookupError, ArithmeticError, AssertionError)


def build_model(
    resolved: ResolvedModel,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
    checkpointing: str,
    seed: int = 0,
    quantization: Quantization = NOT_QUANTIZED,
    deferred: Deferred | None = None,
) -> PreTrainedModel:
    """Return the network in training mode, all its parameters of `dtype` and on `device`, tied ones tied.

    On the meta device there are shapes only, and pretrained weights are not read. Buffers keep the dtype
    their model gives them (the rotary frequencies stay fp32).

    Args:
        resolved: what to build; its config is copied, not changed.
        device: where it is created.
        dtype: type of every parameter, also of those that transformers would keep in fp32 (T5's in fp16).
        attention: implementation by its name in transformers: sdpa, eager, flash_attention_2, ...
        checkpointing: as a scenario has it. What is seen to here is "full" for every layer, non-reentrant,
            and "full-reentrant" for every layer by PyTorch's older way. That one keeps no gradient where no
            input of a layer requires one, so transformers makes the embeddings' output require it, with both.
        quantization: what is done to linear layers but for those that `layers_left_alone` names.
        seed: seed of PyTorch's global generators, set just before weights are drawn.
        deferred: what is on, if values are to come later. Pretrained weights are read at once all the same,
            to the host, and copied to `device` later.

    Raises:
        UsageError: the model cannot run with `attention` or `checkpointing` here, has no weights to read, or
            its config is of a checkpoint quantized otherwise; or `quantization` is unknown.
    """
    quantization = quantization_of(resolved, quantization, dtype)
    recomputed_layers = Checkpointing.read(checkpointing).layers
    _check_attention(resolved, attention)
    torch.manual_seed(seed)
    config = _config_to_build(resolved)
    if resolved.weights == "pretrained" and has_values(device):
        read_to = torch.device("cpu") if deferred else device
        with deferred.off() if deferred else nullcontext():
            model = _load(resolved, config, device=read_to, dtype=dtype, attention=attention)
        cast(nn.Module, model).to(device)
        _cast_parameters(model, dtype)
    else:
        with linears_left_empty() if quantization else nullcontext():
            model = _create(resolved, config, device=device, dtype=dtype, attention=attention)
        _cast_parameters(model, dtype)
        if quantization:
            fill_linears(model, quantization, dtype)
    check_dropout(resolved.name, model.config.get_text_config(), attention)
    model.train()
    if resolved.task == "image-text-pairs":
        always_return_loss(model)
    if recomputed_layers:
        _enable_checkpointing(resolved, model, recomputed_layers)
    return model


def _check_attention(resolved: ResolvedModel, attention: str) -> None:
    try:
        model_class = AUTO_CLASS[resolved.task]._model_mapping.get(type(resolved.config), None)
    except ImportError as error:
        raise _not_buildable(resolved, attention, error) from error
    check_code(resolved.name, model_class, attention)


def _config_to_build(resolved: ResolvedModel) -> PretrainedConfig:
    config = copy.deepcopy(resolved.config)
    # Before building: encoder-decoders hand copies of their config to their parts.
    config.use_cache = False
    config.get_text_config().use_cache = False
    forget_quantization(config)
    return config


def _create(
    resolved: ResolvedModel,
    config: PretrainedConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
) -> PreTrainedModel:
    try:
        with device, nullcontext() if has_values(device) else attention_stand_ins():
            model: PreTrainedModel = AUTO_CLASS[resolved.task].from_config(
                config,
                dtype=dtype,
                attn_implementation=name_in_transformers(attention),
                trust_remote_code=resolved.trust_remote_code,
            )
        # Some weights are made by functions that no device is asked of: `torch.normal`, `torch.FloatTensor`.
        cast(nn.Module, model).to(device)
        # transformers 5.0 leaves tied weights apart on the meta device.
        model.tie_weights()
    except (ValueError, ImportError, *_OF_A_CONFIG) as error:
        raise _not_buildable(resolved, attention, error) from error
    return model


def _load(
    resolved: ResolvedModel,
    config: PretrainedConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
) -> PreTrainedModel:
    # transformers loads straight to another device by way of accelerate, which the CPU does not need.
    placement = {} if device.type == "cpu" else {"device_map": {"": device}}
    try:
        model: PreTrainedModel = AUTO_CLASS[resolved.task].from_pretrained(
            resolved.source,
            config=config,
            dtype=dtype,
            attn_implementation=name_in_transformers(attention),
            trust_remote_code=resolved.trust_remote_code,
            ignore_mismatched_sizes=resolved.has_new_head,
            **({"gguf_file": resolved.gguf_file} if resolved.gguf_file else {}),
            **placement,
        )
    except OSError as error:
        raise UsageError(
            f"model '{resolved.name}': no pretrained weights to read in '{resolved.source}' "
            f"({_first_sentence(error)})"
        ) from error
    except (ValueError, ImportError) as error:
        raise _not_buildable(resolved, attention, error) from error
    return model


def _not_buildable(resolved: ResolvedModel, attention: str, error: Exception) -> UsageError:
    reason = _first_sentence(error)
    if isinstance(error, _OF_A_CONFIG):
        reason = f"{type(error).__name__}: {reason}"
    if attention == "eager" or not _OF_ATTENTION.search(str(error)):
        return UsageError(f"model '{resolved.name}' cannot be built: {reason}", about="model")
    near = "" if attention in USUAL else nearest(attention, USUAL)
    return UsageError(
        f"model '{resolved.name}' cannot run with attention '{attention}'{near} ({reason}); "
        "set attention: eager",
        about="attention",
    )


def _first_sentence(error: Exception) -> str:
    text = one_line(str(error))
    return text.split(". ", maxsplit=1)[0].rstrip(".") or type(error).__name__


def _cast_parameters(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Cast parameters that a model creates in another dtype; through `.data`, so that tied ones stay tied."""
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.dtype != dtype:
            parameter.data = parameter.data.to(dtype)


def _enable_checkpointing(resolved: ResolvedModel, model: PreTrainedModel, checkpointing: str) -> None:
    try:
        model.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": checkpointing == "full-reentrant"}
        )
    except ValueError as error:
        raise UsageError(
            f"model '{resolved.name}' does not support checkpointing '{checkpointing}': "
            f"{_first_sentence(error)}",
            about="checkpointing",
        ) from error
