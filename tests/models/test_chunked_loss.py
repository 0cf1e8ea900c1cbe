"""Language models with the chunked loss: losses and gradients of all logits at once; and who is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from unittest.mock import patch

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from lorafa_prof.errors import UsageError
from lorafa_prof.layers import chunked_cross_entropy
from lorafa_prof.models.kernels import WITHOUT_LOGITS
from lorafa_prof.models.losses import use_loss

VOCABULARY = 96
DECODER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
#: Types whose logits are what their output layer gives, and types that cap, scale or shift them.
CAUSAL: dict[str, dict[str, Any]] = {
    **{
        kind: {}
        for kind in (
            "llama", "gpt2", "gpt_neox", "mistral", "olmo2", "opt", "phi", "phi3", "qwen3", "bloom",
            "mpt", "stablelm", "starcoder2",
        )
    },
    "gptj": {"rotary_dim": 4},
    "gemma2": {"final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {"final_logit_softcapping": 2.0},
    "cohere": {"logit_scale": 0.3},
    "cohere2": {"logit_scale": 0.3},
    "granite": {"logits_scaling": 7.0},
    "mixtral": {"num_local_experts": 4, "output_router_logits": True},
}  # fmt: skip
SEQ2SEQ: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": VOCABULARY},
    "bart": {
        "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "vocab_size": VOCABULARY,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_chunks() -> Iterator[None]:
    """Of 8 tokens."""
    with patch.object(chunked_cross_entropy, "LOGITS_BYTES", 4 * 8 * VOCABULARY):
        yield


def built(auto: Any, kind: str, fields: dict[str, Any]) -> PreTrainedModel:
    """A model in float64, with weights and biases large enough for each to matter."""
    torch.manual_seed(0)
    model: Any = auto.from_config(AutoConfig.for_model(kind, **fields), dtype=torch.float64).eval()
    if kind == "mixtral":
        model.set_experts_implementation("eager")  # PyTorch's grouped products take no float64
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name.endswith(("weight", "bias", "logits_bias")) or tensor.requires_grad:
                tensor.normal_(mean=0.5 if tensor.dim() == 1 else 0.0, std=0.2)
    return cast(PreTrainedModel, model)


def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(3, VOCABULARY, (3, 13))
    mask = torch.ones_like(ids)
    mask[1, -5:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 0, -100, ids)}


def loss_and_gradients(model: nn.Module, **more: Any) -> tuple[Any, dict[str, Tensor]]:
    output: Any = model(**batch(), **more)
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True)
    found = torch.autograd.grad(output.loss, parameters, allow_unused=True)
    return output, dict(zip(names, found, strict=True))


def assert_same(model: nn.Module, **more: Any) -> None:
    full, expected = loss_and_gradients(model, **more)
    use_loss("chunked", model, "causal-lm", "eager")
    chunked, found = loss_and_gradients(model, **more)
    assert full.logits is not None
    assert "logits" not in chunked
    assert chunked.logits is None
    # transformers rounds logits to float32, which both do.
    torch.testing.assert_close(chunked.loss, full.loss, rtol=1e-6, atol=0)
    for name, gradient in found.items():
        if expected[name] is None:
            assert gradient is None, name
        else:
            torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", CAUSAL)
def test_of_causal_language_models(kind: str) -> None:
    assert_same(built(AutoModelForCausalLM, kind, {**DECODER, **CAUSAL[kind]}))


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_of_sequence_to_sequence_models(kind: str) -> None:
    assert_same(built(AutoModelForSeq2SeqLM, kind, {**SEQ2SEQ[kind], "decoder_start_token_id": 0}))


def test_with_a_number_of_items_of_several_micro_batches() -> None:
    assert_same(built(AutoModelForCausalLM, "llama", DECODER), num_items_in_batch=torch.tensor(50))


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["q_proj"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    ],
    ids=["plain", "adapter", "saved"],
)
def test_under_pefts_wrapper_and_with_its_heads(options: dict[str, Any]) -> None:
    config = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options)
    assert_same(peft.get_peft_model(built(AutoModelForCausalLM, "llama", DECODER), config))  # type: ignore[arg-type]


def test_parameters_and_state_are_those_of_before() -> None:
    model = built(AutoModelForCausalLM, "llama", DECODER)
    before = list(model.state_dict())
    use_loss("chunked", model, "causal-lm", "fused-norm")
    assert list(model.state_dict()) == before


def test_full_leaves_a_model_as_it_is() -> None:
    model = built(AutoModelForCausalLM, "llama", DECODER)
    before = dict(vars(model)), dict(vars(model.lm_head)), list(model.named_modules())
    use_loss("full", model, "causal-lm", "fused")
    assert (dict(vars(model)), dict(vars(model.lm_head)), list(model.named_modules())) == before


@pytest.mark.parametrize("kernels", WITHOUT_LOGITS)
def test_kernels_with_a_loss_of_their_own_are_refused(kernels: str) -> None:
    with pytest.raises(UsageError, match=f"kernels '{kernels}' are two ways") as caught:
        use_loss("chunked", nn.Module(), "causal-lm", kernels)
    assert caught.value.about == "loss"


@pytest.mark.parametrize("task", ["sequence-classification", "image-classification", "image-text-pairs"])
def test_other_tasks_are_refused(task: Any) -> None:
    with pytest.raises(UsageError, match=f"is of language models, and this task is {task}"):
        use_loss("chunked", nn.Module(), task, "eager")


def test_a_model_without_an_output_layer_is_refused() -> None:
    with pytest.raises(UsageError, match="a Linear names none"):
        use_loss("chunked", nn.Linear(2, 2), "causal-lm", "eager")
