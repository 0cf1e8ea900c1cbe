"""Whisper: an encoder of 30 s of sound, in 1,500 positions, and a decoder of up to 448 tokens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    hidden: int,
    layers: int,
    heads: int,
    *,
    vocab: int = 51865,
    mel_bins: int = 80,
    positions: tuple[int, int] = (1500, 448),
    special: int = 50257,
) -> PretrainedConfig:
    """Return a config; `positions` are those of sound and of text, `special` the id of end-of-text."""
    from transformers import WhisperConfig

    return WhisperConfig(
        vocab_size=vocab,
        num_mel_bins=mel_bins,
        d_model=hidden,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * hidden,
        decoder_ffn_dim=4 * hidden,
        max_source_positions=positions[0],
        max_target_positions=positions[1],
        activation_function="gelu",
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        scale_embedding=False,
        apply_spec_augment=False,
        tie_word_embeddings=True,
        pad_token_id=special,
        bos_token_id=special,
        eos_token_id=special,
        decoder_start_token_id=special + 1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )


def _preset(size: str, hidden: int, layers: int, heads: int, **others: int) -> Preset:
    return Preset(
        name=f"whisper-{size}",
        task="speech-recognition",
        make_config=partial(_config, hidden, layers, heads, **others),  # type: ignore[arg-type]
        source=f"https://huggingface.co/openai/whisper-{size}/blob/main/config.json",
    )


PRESETS = (
    _preset("tiny", 384, 4, 6),
    _preset("base", 512, 6, 8),
    _preset("small", 768, 12, 12),
    _preset("medium", 1024, 24, 16),
    _preset("large-v3", 1280, 32, 20, vocab=51866, mel_bins=128),
    Preset(
        name="tiny-whisper",
        task="speech-recognition",
        make_config=partial(_config, 64, 2, 4, vocab=256, mel_bins=16, positions=(24, 64), special=253),
        source="synthetic",
    ),
)
