"""Causal language models with the fused loss: the same losses and gradients; and who is refused."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.models.build import build_model
from lorafa_prof.models.fused_loss import PLAIN, use_fused_loss
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.kernels import use_kernels
from lorafa_prof.models.resolve import resolve_model

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 96,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def model_of(kind: str, auto: Any = AutoModelForCausalLM, **fields: Any) -> PreTrainedModel:
    """A model of type `kind` in float64, with weights and biases large enough for each to matter."""
    config = AutoConfig.for_model(kind, **{**SHAPE, **fields})
    model: PreTrainedModel = auto.from_config(config, dtype=torch.float64).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(mean=0.5 if parameter.dim() == 1 else 0.0, std=0.2)
    return model


def batch() -> dict[str, Tensor]:
    ids = torch.randint(3, 96, (3, 20))
    mask = torch.ones_like(ids)
    mask[1, -7:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 0, -100, ids)}


def gradients(model: PreTrainedModel, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


@pytest.mark.parametrize("kind", PLAIN)
def test_losses_and_gradients_are_those_of_the_models_own_forward(kind: str) -> None:
    model, inputs = model_of(kind), batch()
    # transformers' own loss would round the logits to float32.
    logits, targets = model(**inputs).logits[:, :-1], inputs["labels"][:, 1:]
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    expected_gradients = gradients(model, expected)
    use_fused_loss(model)
    output = model(**inputs)
    assert output.logits is None
    torch.testing.assert_close(output.loss, expected, rtol=0, atol=1e-10)
    for name, gradient in gradients(model, output.loss).items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=0, atol=1e-10)


def test_heads_with_a_bias_and_tied_heads_are_among_them() -> None:
    heads = {kind: model_of(kind) for kind in PLAIN}
    assert any(model.get_output_embeddings().bias is not None for model in heads.values())
    tied = [m for m in heads.values() if m.get_output_embeddings().weight is m.get_input_embeddings().weight]
    assert tied


@pytest.mark.parametrize("kind", ["gemma2", "cohere"])
def test_a_model_that_does_something_to_its_logits_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match=r"no loss for a \w+ForCausalLM, only for .* llama, ") as caught:
        use_fused_loss(model_of(kind))
    assert caught.value.about == "kernels"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_classifier_of_a_known_type_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match=r"no loss for a \w+ForSequenceClassification"):
        use_fused_loss(model_of(kind, AutoModelForSequenceClassification))


@pytest.mark.parametrize("name", ["tiny-roberta", "tiny-t5"])
def test_other_tasks_are_refused(name: str) -> None:
    resolved = resolve_model(ModelChoice(name=name))
    model = build_model(
        resolved, device=torch.device("meta"), dtype=torch.float32, attention="sdpa", checkpointing="none"
    )
    with pytest.raises(UsageError, match="causal language models"):
        use_fused_loss(model)


def test_a_head_with_our_adapter_is_refused() -> None:
    model = model_of("llama")
    adapter = {"rank": 2, "scale": 1.0, "dropout": 0.0, "adapter_dtype": torch.float64}
    model.lm_head = LoraFaLinear(model.lm_head, **adapter)
    with pytest.raises(UsageError, match="was made a LoraFaLinear") as caught:
        use_fused_loss(model)
    assert caught.value.about == "kernels"


@pytest.mark.parametrize(
    "options", [{"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["lm_head"]}]
)
def test_a_head_that_peft_wraps_is_refused(options: dict[str, Any]) -> None:
    wrapped = peft.get_peft_model(model_of("llama"), peft.LoraConfig(task_type="CAUSAL_LM", **options))
    with pytest.raises(UsageError, match="output layer"):
        use_fused_loss(wrapped)


def test_eager_leaves_a_model_as_it_is() -> None:
    model = model_of("llama")
    before = dict(vars(model)), list(model.named_modules())
    use_kernels("eager", model)
    assert (dict(vars(model)), list(model.named_modules())) == before


def test_kernels_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match=r"'fused_loss' \(did you mean 'fused-loss'\?\)") as caught:
        use_kernels("fused_loss", model_of("llama"))
    assert caught.value.about == "kernels"


def test_checkpointing_recomputes_the_layers_and_not_the_loss() -> None:
    resolved = resolve_model(ModelChoice(name="tiny-llama"))
    cpu = torch.device("cpu")
    inputs = make_inputs(resolved, batch=2, seq=12, device=cpu, seed=0)
    found = []
    for checkpointing in ("none", "full"):
        model = build_model(
            resolved, device=cpu, dtype=torch.float64, attention="sdpa", checkpointing=checkpointing
        )
        use_fused_loss(model)
        calls: list[Any] = []
        model.get_submodule("fused_loss").register_forward_hook(lambda *args, calls=calls: calls.append(1))
        found.append(gradients(model, model(**inputs).loss))
        assert calls == [1]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)
