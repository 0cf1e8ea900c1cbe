"""Making a model's RMS norms run `rms_norm`, which holds its input for backward and no wider copy."""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.rms_norm import rms_norm

#: Classes of transformers that normalize in float32, round to the input's type, and multiply by the weight.
#: Other classes compute something else and would silently change: Gemma's multiply by 1 + weight, OLMo 2's
#: round last.
AS_IN_LLAMA = frozenset(
    {
        "DeepseekV2RMSNorm",
        "DeepseekV3RMSNorm",
        "Glm4RMSNorm",
        "GraniteRMSNorm",
        "LlamaRMSNorm",
        "MistralRMSNorm",
        "MixtralRMSNorm",
        "OlmoeRMSNorm",
        "Phi3RMSNorm",
        "Qwen2MoeRMSNorm",
        "Qwen2RMSNorm",
        "Qwen3MoeRMSNorm",
        "Qwen3RMSNorm",
        "SmolLM3RMSNorm",
    }
)
#: Classes that compute the same, but round to the weight's type.
AS_IN_T5 = frozenset(
    {"LongT5LayerNorm", "MT5LayerNorm", "SwitchTransformersLayerNorm", "T5LayerNorm", "UMT5LayerNorm"}
)


def use_fused_norm(trained: nn.Module) -> None:
    """Make the model's RMS norms run `rms_norm`; modules, parameters and state_dict stay as they are.

    Args:
        trained: a transformers model, or one that PEFT has wrapped.

    Raises:
        UsageError: it has no norm of a class that is known.
    """
    norms = [module for module in trained.modules() if _name(module) in AS_IN_LLAMA | AS_IN_T5]
    if not norms:
        unknown = sorted({_name(module) for module in trained.modules() if "norm" in _name(module).lower()})
        raise UsageError(
            f"kernels 'fused-norm' knows no norm of this model ({', '.join(unknown) or 'it has none'}), "
            "only RMS norms as in Llama, Mistral, Qwen and T5",
            about="kernels",
        )
    for norm in norms:
        norm.forward = MethodType(_as_in_llama if _name(norm) in AS_IN_LLAMA else _as_in_t5, norm)


def _name(module: nn.Module) -> str:
    return type(module).__name__


def _as_in_llama(norm: Any, hidden_states: Tensor) -> Tensor:
    return rms_norm(hidden_states, norm.weight, norm.variance_epsilon, rounded_to=hidden_states.dtype)


def _as_in_t5(norm: Any, hidden_states: Tensor) -> Tensor:
    return rms_norm(hidden_states, norm.weight, norm.variance_epsilon, rounded_to=norm.weight.dtype)
