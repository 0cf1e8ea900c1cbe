"""MLPerf Training's Llama-2-70B, whose query, key and value are one product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config() -> PretrainedConfig:
    # As Phi-3's layers: gate and up are one product there too, which takes the same bytes and FLOPs.
    from transformers import Phi3Config

    return Phi3Config(
        vocab_size=32000,
        hidden_size=8192,
        intermediate_size=28672,
        num_hidden_layers=80,
        num_attention_heads=64,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        original_max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        attention_dropout=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        sliding_window=None,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )


PRESETS = (
    Preset(
        name="llama2-70b-fused-qkv-mlperf",
        task="causal-lm",
        make_config=_config,
        source="https://huggingface.co/regisss/llama2-70b-fused-qkv-mlperf/blob/main/config.json",
        notes=("gate and up are one product here, which takes the same bytes and FLOPs",),
    ),
)
