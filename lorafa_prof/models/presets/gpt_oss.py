"""gpt-oss: experts with biases, attention sinks, windows in every other layer.

The checkpoint's experts are packed in MXFP4; this is the network with weights of the scenario's `dtype`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config() -> PretrainedConfig:
    from transformers import GptOssConfig

    return GptOssConfig(
        vocab_size=201088,
        hidden_size=2880,
        intermediate_size=2880,
        num_hidden_layers=24,
        num_attention_heads=64,
        num_key_value_heads=8,
        head_dim=64,
        num_local_experts=32,
        num_experts_per_tok=4,
        sliding_window=128,
        layer_types=["sliding_attention", "full_attention"] * 12,
        max_position_embeddings=131072,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 150000.0,
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 4096,
        },
        rms_norm_eps=1e-5,
        attention_bias=True,
        attention_dropout=0.0,
        router_aux_loss_coef=0.9,
        tie_word_embeddings=False,
        eos_token_id=200002,
        pad_token_id=199999,
    )


PRESETS = (
    Preset(
        name="gpt-oss-20b",
        task="causal-lm",
        make_config=_config,
        source="https://huggingface.co/openai/gpt-oss-20b/blob/main/config.json",
    ),
)
