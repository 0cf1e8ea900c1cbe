"""Making a model run Liger's kernels (liger-kernel): norms, gated activation, rotary embedding and loss.

Liger patches the model itself, and beside it the module of transformers that has the model's code and is of
other models too. That is undone; the function for rotary embedding that it puts there, only this model finds.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from lorafa_prof.errors import UsageError
from lorafa_prof.models.replaced import replaced

# It warns of each language but Triton that it has kernels in, and that is not installed.
logging.getLogger("liger_kernel.backends.registry").setLevel(logging.ERROR)

#: Types of models (`config.model_type`) that Liger patches, of which gradients were compared with eager ones.
LIGER_TYPES = (
    "exaone4",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gemma4_text",
    "glm4",
    "llama",
    "mistral",
    "olmo2",
    "olmo3",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
)


def load_liger() -> Mapping[str, Callable[..., None]]:
    """Return Liger's functions that patch a model, by type of model.

    Raises:
        UsageError: liger-kernel is not installed, or cannot be loaded here.
    """
    try:
        # At its import it decides for good whether there is a GPU. Its kernels run on nothing else here: on a
        # GPU or on its twin.
        with replaced(torch.cuda, {"is_available": lambda: True}):
            from liger_kernel.backends import all_impls
            from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

            # Else it looks for them in the first step.
            all_impls("rope")
    except Exception as error:
        raise UsageError(
            f"kernels 'liger' are of the package liger-kernel: pip install 'lorafa-prof[gpu]' ({error})",
            about="kernels",
        ) from error
    return MODEL_TYPE_TO_APPLY_LIGER_FN  # type: ignore[no-any-return]


def use_liger(trained: nn.Module) -> None:
    """Make the model run Liger's kernels; modules, parameters and state_dict stay as they are.

    Args:
        trained: a transformers model, or one that PEFT has wrapped.

    Raises:
        UsageError: liger-kernel is missing, the model's type is none of `LIGER_TYPES`, its activation is
            another than Liger's, or its output layer has an adapter or a bias, which Liger would leave out.
    """
    patches = load_liger()
    model = next((module for module in trained.modules() if isinstance(module, PreTrainedModel)), None)
    head = model.get_output_embeddings() if model and model.config.model_type in LIGER_TYPES else None
    if model is None or head is None:
        raise _error(
            f"are none for a {type(model or trained).__name__}, only for causal language models of type "
            f"{', '.join(LIGER_TYPES)}; eager runs everywhere"
        )
    if type(head) is not nn.Linear or head.bias is not None:
        raise _error(
            f"need the output layer as it is, without a bias, and it was made a {type(head).__name__}; leave "
            "it out of the adapters' targets"
        )
    patch = patches[model.config.model_type]
    _check_activation(model.config, patch)
    functions = _patched(model, patch)
    for module in model.modules():
        forward = type(module).forward
        if functions.keys() & set(forward.__code__.co_names):
            module.forward = MethodType(_with_globals(forward, functions), module)


def _check_activation(config: Any, patch: Callable[..., None]) -> None:
    """Check that the MLP's activation is the one that Liger puts there, whatever the config says."""
    has = getattr(config, "hidden_activation", None) or config.hidden_act
    takes = ("gelu_pytorch_tanh",) if "geglu" in inspect.signature(patch).parameters else ("silu", "swish")
    if has not in takes:
        raise _error(
            f"have {takes[0]} as the MLP's activation for {config.model_type}, and the config has {has}"
        )


def _patched(model: PreTrainedModel, patch: Callable[..., None]) -> dict[str, FunctionType]:
    """Patch the model and nothing else; return the functions that its code is to find in place of others."""
    code = sys.modules[type(model).__module__]
    before = dict(vars(code))
    patch(model=model)
    put = {name: value for name, value in vars(code).items() if before.get(name) is not value}
    for name in put:
        setattr(code, name, before[name])
    return {name: value for name, value in put.items() if isinstance(value, FunctionType)}


def _with_globals(function: Any, values: Mapping[str, Any]) -> FunctionType:
    """Return a copy of a function that finds `values` among the names of its module."""
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **values},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _error(why: str) -> UsageError:
    return UsageError(f"kernels 'liger' {why}", about="kernels")
