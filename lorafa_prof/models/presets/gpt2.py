"""GPT-2: learned positions, LayerNorm, tanh-approximated GELU, biases everywhere, tied embeddings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    hidden: int, layers: int, heads: int, *, vocab: int = 50257, positions: int = 1024
) -> PretrainedConfig:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=vocab,
        n_positions=positions,
        n_embd=hidden,
        n_layer=layers,
        n_head=heads,
        activation_function="gelu_new",
        resid_pdrop=0.1,
        embd_pdrop=0.1,
        attn_pdrop=0.1,
        layer_norm_epsilon=1e-5,
        initializer_range=0.02,
        tie_word_embeddings=True,
        # <|endoftext|>, the last id of the vocabulary.
        bos_token_id=vocab - 1,
        eos_token_id=vocab - 1,
    )


def _preset(name: str, hidden: int, layers: int, heads: int) -> Preset:
    return Preset(
        name=name,
        task="causal-lm",
        make_config=partial(_config, hidden, layers, heads),
        source=f"https://huggingface.co/openai-community/{name}/blob/main/config.json",
    )


PRESETS = (
    _preset("gpt2", 768, 12, 12),
    _preset("gpt2-medium", 1024, 24, 16),
    _preset("gpt2-large", 1280, 36, 20),
    _preset("gpt2-xl", 1600, 48, 25),
    Preset(
        name="tiny-gpt2",
        task="causal-lm",
        make_config=partial(_config, 64, 2, 4, vocab=256, positions=256),
        source="synthetic",
    ),
)
