"""A small Llama trained from scratch on text, for what only weights that have learned something can tell."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaConfig

from lorafa_prof.methods.base import METHODS, Prepared, Setting
from lorafa_prof.models.autocast import use_autocast
from lorafa_prof.models.build import build_model
from lorafa_prof.models.resolve import ResolvedModel
from lorafa_prof.scenario.options import validated_options
from lorafa_prof.step import TrainingStep

#: Of each file: its end, which nothing is trained on.
HELD_OUT_SHARE = 0.05
#: Steps of training between two lines of progress.
TOLD_EVERY = 100
MAX_GRAD_NORM = 1.0

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Text:
    """Text as tokens: what is trained on and what is held out, [n] each; and how many words there are."""

    training: Tensor
    held_out: Tensor
    vocabulary: int


def read_text(files: Sequence[Path], vocabulary: int) -> Text:
    """Return the text of `files` by a vocabulary of bytes and pairs (BPE) of what is trained on.

    Args:
        files: plain text, in UTF-8.
        vocabulary: how many words it has at most.
    """
    parts: tuple[list[str], list[str]] = ([], [])
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        cut = len(lines) - math.ceil(len(lines) * HELD_OUT_SHARE)
        parts[0].extend(lines[:cut])
        parts[1].extend(lines[cut:])
    words = ByteLevelBPETokenizer()
    words.train_from_iterator(parts[0], vocab_size=vocabulary, show_progress=False)
    training, held_out = (
        torch.tensor([number for line in words.encode_batch(part) for number in line.ids]) for part in parts
    )
    return Text(training, held_out, words.get_vocab_size())


def batches(
    tokens: Tensor, count: int, batch: int, seq: int, device: torch.device, seed: int
) -> Iterator[Inputs]:
    """Yield `count` batches of `batch` pieces of `tokens`, each `seq` long and from anywhere."""
    if len(tokens) <= seq:
        sys.exit(
            f"the text has {len(tokens)} tokens to take pieces of {seq} from: give more, or a shorter --seq"
        )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        starts = torch.randint(len(tokens) - seq, (batch, 1), generator=generator)
        ids = tokens[starts + torch.arange(seq)].to(device)
        yield {"input_ids": ids, "labels": ids}


def llama(width: int, layers: int, vocabulary: int, seq: int) -> ResolvedModel:
    """Return the shape of a Llama: heads of 64, an MLP 8/3 as wide as the model, up to a multiple of 64."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=math.ceil(width * 8 / 3 / 64) * 64,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        num_key_value_heads=max(1, width // 64),
        max_position_embeddings=seq,
        tie_word_embeddings=False,
    )
    return ResolvedModel("trained-llama", "causal-lm", config, "random", source=__file__)


def prepared(
    shape: ResolvedModel,
    method: str,
    options: Mapping[str, Any],
    *,
    device: torch.device,
    seed: int,
    weights: Mapping[str, Tensor] | None = None,
) -> Prepared:
    """Return a model in float32, of these weights or random ones, ready to train by a method."""
    model = build_model(
        shape, device=device, dtype=torch.float32, attention="sdpa", checkpointing="none", seed=seed
    )
    if weights is not None:
        model.load_state_dict(weights)
    entry = METHODS[method]
    chosen = entry.options.model_validate(validated_options(entry, options))
    return entry.prepare(model, chosen, Setting(shape.task, torch.float32, "adamw"))


def run_steps(ready: Prepared, of_steps: Iterator[Inputs]) -> Iterator[int]:
    """Train a step on each batch; yield its number, from 1 on, when it is done."""
    step = TrainingStep(ready.model, {}, ready.optimizer, max_grad_norm=MAX_GRAD_NORM)
    for number, inputs in enumerate(of_steps, 1):
        replace(step, inputs=inputs).run()
        yield number


def trained_weights(
    shape: ResolvedModel,
    text: Text,
    *,
    steps: int,
    batch: int,
    seq: int,
    learning_rate: float,
    device: torch.device,
    seed: int,
) -> dict[str, Tensor]:
    """Return the weights, in float32, after full fine-tuning, which on a GPU computes in bf16 by autocast.

    The learning rate rises for the first twentieth of the steps, and falls to zero as a cosine.
    """
    ready = prepared(shape, "full-ft", {}, device=device, seed=seed)
    use_autocast("bf16" if device.type == "cuda" else "none", ready.model, device.type)
    for group in ready.optimizer.param_groups:
        group["lr"] = learning_rate
    schedule = LambdaLR(ready.optimizer, lambda number: _share_of_rate((number + 1) / (steps + 1)))
    for number in run_steps(ready, batches(text.training, steps, batch, seq, device, seed)):
        schedule.step()
        if number % TOLD_EVERY == 0 or number == steps:
            loss = mean_loss(ready.model, batches(text.held_out, 4, batch, seq, device, seed))
            print(f"step {number} of {steps}: loss {loss:.4f} on text held out", flush=True)
    return ready.model.state_dict()


def _share_of_rate(done: float) -> float:
    """Return the share of the learning rate when this share of the steps is done."""
    return min(1.0, 20 * done) * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def mean_loss(model: nn.Module, over: Iterator[Inputs]) -> float:
    """Return the mean of the losses of batches."""
    losses = [float(model(**inputs).loss) for inputs in over]
    return sum(losses) / len(losses)
