"""The task that a network is fine-tuned for, found from its config where it is no preset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.errors import UsageError
from lorafa_prof.models.preset import Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def task_of(config: PretrainedConfig, *, name: str) -> Task:
    """Return the task that `config` is for: its architecture decides, then its model type.

    A masked language model (BERT, RoBERTa) is fine-tuned as a classifier, though transformers could
    also run it as a decoder.

    Raises:
        UsageError: it is for none of the tasks, or names more than one network; the message has `name`.
    """
    architecture = _architecture(config, name)
    possible = _possible_tasks(config)
    for task in _preferred(config, architecture):
        if task in possible:
            return task
    raise UsageError(
        f"model '{name}' (type '{config.model_type}', architecture '{architecture or 'not given'}') is "
        "neither a causal nor a sequence-to-sequence language model, of text or speech, nor a classifier of "
        "sequences or images, nor a model of pairs of image and text"
    )


def _architecture(config: PretrainedConfig, name: str) -> str:
    """The one class that the config names; empty if it names none, so that its type alone decides."""
    named = getattr(config, "architectures", None) or [""]
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise TypeError(f"architectures should be a list of text, not {named!r}")
    if len(set(named)) > 1:
        raise UsageError(
            f"model '{name}': its config names {len(named)} architectures ({', '.join(named)}); leave the "
            "one that is to be trained"
        )
    return str(named[0])


def _possible_tasks(config: PretrainedConfig) -> set[Task]:
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
        MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING,
    )

    own_code = getattr(config, "auto_map", None) or {}
    kind = type(config)
    possible: set[Task] = set()
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in own_code:
        possible.add("causal-lm")
    if kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING or "AutoModelForSeq2SeqLM" in own_code:
        possible.add("seq2seq-lm")
    if kind in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING or "AutoModelForSequenceClassification" in own_code:
        possible.add("sequence-classification")
    if kind in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING or "AutoModelForImageClassification" in own_code:
        possible.add("image-classification")
    if kind in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING or "AutoModelForSpeechSeq2Seq" in own_code:
        possible.add("speech-recognition")
    if kind in MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING:
        possible.add("image-text-pairs")
    return possible


def _preferred(config: PretrainedConfig, architecture: str) -> list[Task]:
    if architecture.endswith("ForImageClassification"):
        return ["image-classification"]
    if architecture.endswith("ForSequenceClassification"):
        return ["sequence-classification"]
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return ["causal-lm"]
    if config.is_encoder_decoder:
        return ["seq2seq-lm", "speech-recognition"]
    if _is_masked_lm(config, architecture):
        return ["sequence-classification", "causal-lm"]
    return ["causal-lm", "sequence-classification", "image-text-pairs", "image-classification"]


def _is_masked_lm(config: PretrainedConfig, architecture: str) -> bool:
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    if architecture.endswith("ForMaskedLM"):
        return True
    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
