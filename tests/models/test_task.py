"""The task of a network that is no preset."""

from __future__ import annotations

import pytest
from transformers import AutoConfig

from lorafa_prof.errors import UsageError
from lorafa_prof.models.preset import PRESETS, Task
from lorafa_prof.models.task import task_of


@pytest.mark.parametrize(
    ("model_type", "architecture", "task"),
    [
        ("llama", "LlamaForCausalLM", "causal-lm"),
        ("llama", "LlamaForSequenceClassification", "sequence-classification"),
        ("llama", None, "causal-lm"),
        ("gpt2", "GPT2LMHeadModel", "causal-lm"),
        ("t5", "T5ForConditionalGeneration", "seq2seq-lm"),
        ("t5", None, "seq2seq-lm"),
        ("bart", "BartForConditionalGeneration", "seq2seq-lm"),
        ("bart", "BartForSequenceClassification", "sequence-classification"),
        ("bart", "BartForCausalLM", "causal-lm"),
        ("bart", "BartModel", "seq2seq-lm"),
        # transformers could run these two as decoders; nobody fine-tunes them so.
        ("roberta", "RobertaForMaskedLM", "sequence-classification"),
        ("bert", None, "sequence-classification"),
        ("gemma3_text", "Gemma3ForCausalLM", "causal-lm"),
        # Not an encoder-decoder, though its architecture's name says ConditionalGeneration.
        ("gemma3", "Gemma3ForConditionalGeneration", "causal-lm"),
        ("vit", "ViTForImageClassification", "image-classification"),
        ("vit", "ViTModel", "image-classification"),
        ("swin", None, "image-classification"),
        ("dinov2", "Dinov2Model", "image-classification"),
        ("whisper", "WhisperForConditionalGeneration", "speech-recognition"),
        ("whisper", None, "speech-recognition"),
        ("clip", "CLIPModel", "image-text-pairs"),
        ("clip", None, "image-text-pairs"),
        ("clip", "CLIPForImageClassification", "image-classification"),
    ],
)
def test_task(model_type: str, architecture: str | None, task: Task) -> None:
    config = AutoConfig.for_model(model_type)
    config.architectures = [architecture] if architecture else None
    assert task_of(config, name="x") == task


def test_a_bert_used_as_decoder_is_causal() -> None:
    config = AutoConfig.for_model("bert", is_decoder=True)
    assert task_of(config, name="x") == "causal-lm"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_agree_with_what_would_be_derived(name: str) -> None:
    assert task_of(PRESETS[name].make_config(), name=name) == PRESETS[name].task


@pytest.mark.parametrize("model_type", ["vitpose", "depth_anything"])
def test_no_language_model(model_type: str) -> None:
    config = AutoConfig.for_model(model_type)
    with pytest.raises(UsageError, match=f"model 'x' .type '{model_type}'"):
        task_of(config, name="x")
