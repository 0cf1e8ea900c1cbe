"""Packing: the documents of a batch one after the other in one row, without padding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.models.attention import FLASH_PACKAGES
from lorafa_prof.models.resolve import ResolvedModel
from lorafa_prof.versions import Release, installed, named

#: Types of models (`config.model_type`) that keep documents apart by their position ids, with transformers'
#: block-diagonal masks or kernels of variable length. In others tokens would see other documents.
KEEPS_APART = (
    "apertus",
    "arcee",
    "cohere",
    "cohere2",
    "ernie4_5",
    "exaone4",
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm",
    "glm4",
    "gpt2",
    "gpt_bigcode",
    "gpt_neox",
    "granite",
    "helium",
    "hunyuan_v1_dense",
    "llama",
    "ministral",
    "mistral",
    "mixtral",
    "nemotron",
    "olmo",
    "olmo2",
    "olmo3",
    "persimmon",
    "phi",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "seed_oss",
    "smollm3",
    "stablelm",
    "starcoder2",
)
#: Those of them that do so from this release of transformers on.
KEEPS_APART_FROM: dict[str, Release] = {"nemotron": (5, 2), "persimmon": (5, 2), "stablelm": (5, 2)}
#: Those of them that hand no position ids to flash attention, which then takes the row for one document.
ONE_DOCUMENT_TO_FLASH = ("gpt_bigcode", "persimmon")
#: Those that hand them over from this release of transformers on.
APART_TO_FLASH_FROM: dict[str, Release] = {"gpt2": (5, 2)}
# What PyTorch's cross-entropy leaves out by default, and data collators put in the place of padding.
IGNORED_LABEL = -100


def check_packing(resolved: ResolvedModel, attention: str) -> None:
    """Raise a UsageError if the model would not keep the documents of a row apart with this attention."""
    kind = resolved.config.model_type
    if resolved.task != "causal-lm" or kind not in KEEPS_APART:
        raise UsageError(
            f"packing: model '{resolved.name}' (type '{kind}', {resolved.task}) is not known to keep "
            f"documents of a row apart; causal language models of these types do: {', '.join(KEEPS_APART)}",
            about="packing",
        )
    by_flash = attention in FLASH_PACKAGES
    since = KEEPS_APART_FROM.get(kind) or (by_flash and APART_TO_FLASH_FROM.get(kind))
    if since and (installed("transformers") or since) < since:
        raise UsageError(
            f"packing: model '{resolved.name}' (type '{kind}') keeps documents of a row apart with "
            f"{attention} from transformers {named(since)} on: pip install -U transformers",
            about="packing",
        )
    if kind in ONE_DOCUMENT_TO_FLASH and by_flash:
        raise UsageError(
            f"packing: model '{resolved.name}' (type '{kind}') hands no position ids to {attention}, which "
            "would take the row for one document; with sdpa and eager they are kept apart",
            about="packing",
        )


def packed(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a padded batch as transformers' `DataCollatorWithFlattening` lays its documents out.

    Args:
        inputs: `input_ids`, `attention_mask` and `labels` of shape (batch, seq); each row is a document, of
            which the mask leaves out padding on the right.

    Returns:
        `input_ids`, `labels` and `position_ids` of shape (1, tokens), int64, without the padding. Position
        ids start at 0 in each document; the label of its first token, which follows on nothing, is ignored.
    """
    real = inputs["attention_mask"].bool()
    positions = torch.arange(real.shape[1], device=real.device).expand(real.shape)
    labels = inputs["labels"].clone()
    labels[:, 0] = IGNORED_LABEL
    rows = {"input_ids": inputs["input_ids"], "labels": labels, "position_ids": positions}
    return {name: tensor[real].unsqueeze(0) for name, tensor in rows.items()}
