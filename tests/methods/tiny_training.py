"""Building a tiny model and preparing it by a method."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.cell import ModelChoice
from lorafa_prof.methods.base import METHODS, Prepared, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import ResolvedModel, resolve_model

FAMILIES = ["tiny-llama", "tiny-gpt2", "tiny-roberta", "tiny-t5"]


def resolve(name: str, *, dropout: bool = True) -> ResolvedModel:
    """The model's shape; without `dropout`, its own dropouts are 0, whatever its config calls them."""
    resolved = resolve_model(ModelChoice(name=name))
    if not dropout:
        for field in (
            "dropout",
            "dropout_rate",
            "attention_dropout",
            "classifier_dropout",
            "attn_pdrop",
            "embd_pdrop",
            "resid_pdrop",
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
        ):
            if hasattr(resolved.config, field):
                setattr(resolved.config, field, 0.0)
    return resolved


def prepare(
    model: str | ResolvedModel,
    method: str,
    options: dict[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    adapter_dtype: torch.dtype | None = None,
    optimizer: str = "adamw",
    device: str = "cpu",
    attention: str = "sdpa",
) -> Prepared:
    resolved = resolve(model) if isinstance(model, str) else model
    built = build_model(
        resolved, device=torch.device(device), dtype=dtype, attention=attention, checkpointing="none", seed=1
    )
    chosen = METHODS[method]
    setting = Setting(resolved.task, adapter_dtype or dtype, optimizer)
    return chosen.prepare(built, chosen.options.model_validate(options or {}), setting)


def batch_of(model: str | ResolvedModel) -> dict[str, Tensor]:
    resolved = resolve(model) if isinstance(model, str) else model
    return make_inputs(resolved, batch=3, seq=12, device=torch.device("cpu"), seed=5)
