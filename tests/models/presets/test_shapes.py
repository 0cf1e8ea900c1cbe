"""Every preset has the exact number of parameters of the published checkpoint, and its published settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lorafa_prof.cell import ModelChoice
from lorafa_prof.models.build import build_model
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import resolve_model

# Distinct parameters, tied ones once. Llama, Qwen2.5, Qwen3, Mistral, Mixtral, Phi-4, DeepSeek and, unpacked,
# gpt-oss: the "safetensors parameters" on the hub page of each preset's source. Gemma 3 from 4b on: those
# (4,300,079,472, 12,187,325,040 and 27,432,406,640) less the vision tower's 416,866,032 and the projector's
# 1,152 (h + 1). GPT-2: the released checkpoints less the causal-mask buffers, as printed by
# `sum(p.numel())` on transformers' own model. T5: the T5 paper's 60M, 220M and 770M to the unit, the
# checkpoints' shared embedding counted once. RoBERTa: the checkpoints' encoder (124,055,040 and 354,310,144
# without pooler) plus a classification head of two labels, h² + h + 2h + 2 (592,130 and 1,051,650);
# ModernBERT and DeBERTa likewise.
PUBLISHED = {
    "roberta-base": 124_647_170,
    "roberta-large": 355_361_794,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-30b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama2-70b-fused-qkv-mlperf": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "mistral-7b": 7_241_732_096,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.1-70b": 70_553_706_496,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "qwen3-30b-a3b": 30_532_122_624,
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 3_880_263_168,
    "gemma-3-12b": 11_766_034_176,
    "gemma-3-27b": 27_009_346_304,
    "phi-4": 14_659_507_200,
    "gpt-oss-20b": 20_914_757_184,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-v2-lite": 15_706_484_224,
    "modernbert-base": 149_014_272 + 592_130,
    "modernbert-large": 394_781_696 + 1_051_650,
    "deberta-v3-small": 141_304_320 + 592_130,
    "deberta-v3-base": 183_831_552 + 592_130,
    "deberta-v3-large": 434_012_160 + 1_051_650,
    # Heads of 1,000 classes; torchvision's own of these shapes have as many (`num_params` of its weights).
    "vit-base": 86_567_656,
    "vit-large": 304_326_632,
    "swin-base": 87_768_224,
    "convnext-base": 88_591_464,
    # The checkpoints' encoders, and a head of two labels on the class token and the mean of the patches.
    "dinov2-base": 86_580_480 + 2 * 2 * 768 + 2,
    "dinov2-large": 304_368_640 + 2 * 2 * 1024 + 2,
    "clip-vit-base-patch32": 151_277_313,
    "clip-vit-base-patch16": 149_620_737,
    "clip-vit-large-patch14": 427_616_513,
    "whisper-tiny": 37_760_640,
    "whisper-base": 72_593_920,
    "whisper-small": 241_734_912,
    "whisper-medium": 763_857_920,
    "whisper-large-v3": 1_543_490_560,
}

# By hand, h 64, vocabulary 256 (v), two layers; i is 176 or 256.
_TINY_LLAMA_LAYER = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 176 + 2 * 64
_TINY_ENCODER_LAYER = 4 * (64 * 64 + 64) + (2 * 64 * 256 + 256 + 64) + 2 * 2 * 64
_TINY_T5_ENCODER = 2 * (4 * 64 * 64 + 2 * 64 * 256 + 2 * 64) + 32 * 4 + 64
_TINY_T5_DECODER = 2 * (8 * 64 * 64 + 2 * 64 * 256 + 3 * 64) + 32 * 4 + 64


def _swin_layer(h: int) -> int:
    return 4 * (h * h + h) + (8 * h * h + 4 * h + h) + 2 * 2 * h


def _convnext_layer(h: int) -> int:
    return 49 * h + h + 2 * h + (8 * h * h + 4 * h + h) + h


TINY = {
    "tiny-llama": 2 * 256 * 64 + 2 * _TINY_LLAMA_LAYER + 64,
    "tiny-mistral": 2 * 256 * 64 + 2 * _TINY_LLAMA_LAYER + 64,
    "tiny-qwen2": 256 * 64 + 2 * (_TINY_LLAMA_LAYER + 64 + 2 * 32) + 64,
    "tiny-gpt2": 256 * 64 + 256 * 64 + 2 * _TINY_ENCODER_LAYER + 2 * 64,
    "tiny-roberta": (256 + 258 + 1 + 2) * 64 + 2 * _TINY_ENCODER_LAYER + 64 * 64 + 64 + 2 * 64 + 2,
    "tiny-t5": 256 * 64 + _TINY_T5_ENCODER + _TINY_T5_DECODER,
    # Patches of 8 × 8 × 3, 17 positions, a class token, a head of 10.
    "tiny-vit": 192 * 64 + 64 + 17 * 64 + 64 + 2 * _TINY_ENCODER_LAYER + 2 * 64 + 64 * 10 + 10,
    # Two layers of width 32 and two of 64, windows of 4 × 4; what merges patches is 128 to 64, with a norm.
    "tiny-swin": (48 * 32 + 32 + 2 * 32)
    + 2 * (_swin_layer(32) + 49 * 2)
    + (2 * 128 + 128 * 64)
    + 2 * (_swin_layer(64) + 49 * 4)
    + 2 * 64
    + 64 * 10
    + 10,
    # Patches of 7 × 7 × 3, two scales of 64 to a layer, class and mask token.
    "tiny-dinov2": 147 * 64 + 64 + 17 * 64 + 2 * 64 + 2 * (_TINY_ENCODER_LAYER + 2 * 64) + 2 * 64 + 258,
    "tiny-convnext": (48 * 32 + 32 + 2 * 32)
    + 2 * _convnext_layer(32)
    + (2 * 32 + 4 * 32 * 64 + 64)
    + 2 * _convnext_layer(64)
    + 2 * 64
    + 64 * 10
    + 10,
    # 16 patches of 8 × 8 × 3 and a class token, two encoders with a norm behind, one before that of images;
    # two projections to 48, a scale.
    "tiny-clip": (192 * 64 + 64 + 17 * 64 + 2 * 64 + 2 * _TINY_ENCODER_LAYER + 2 * 64)
    + (256 * 32 + 64 * 32 + 2 * _swin_layer(32) + 2 * 32)
    + (64 * 48 + 32 * 48 + 1),
    # Two convolutions of width 3; no bias on keys; 24 positions of sound and 64 of text.
    "tiny-whisper": (16 * 3 * 64 + 64 + 64 * 3 * 64 + 64)
    + (24 * 64 + 2 * (_TINY_ENCODER_LAYER - 64) + 2 * 64)
    + (256 * 64 + 64 * 64 + 2 * (_TINY_ENCODER_LAYER - 64 + 4 * 64 * 64 + 3 * 64 + 2 * 64) + 2 * 64),
}

# What a parameter count does not show: (field, value) as in the published config.json.
SETTINGS: dict[str, dict[str, Any]] = {
    "llama-7b": {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    "llama-65b": {"num_attention_heads": 64, "rms_norm_eps": 1e-5},
    "llama-2-7b": {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu"},
    "llama-2-70b": {"num_attention_heads": 64, "num_key_value_heads": 8},
    "llama2-70b-fused-qkv-mlperf": {"num_key_value_heads": 8, "sliding_window": None, "rms_norm_eps": 1e-5},
    "llama-3-8b": {"max_position_embeddings": 8192, "num_key_value_heads": 8},
    "llama-3.2-1b": {"head_dim": 64, "num_key_value_heads": 8, "tie_word_embeddings": True},
    "llama-3.2-3b": {"head_dim": 128, "num_attention_heads": 24, "max_position_embeddings": 131072},
    "qwen2.5-0.5b": {"num_attention_heads": 14, "max_position_embeddings": 32768, "sliding_window": None},
    "qwen2.5-7b": {"num_attention_heads": 28, "tie_word_embeddings": False, "rms_norm_eps": 1e-6},
    "mistral-7b": {"sliding_window": 4096, "max_position_embeddings": 32768},
    "gpt2-xl": {"n_head": 25, "n_positions": 1024, "attn_pdrop": 0.1, "activation_function": "gelu_new"},
    "roberta-base": {"max_position_embeddings": 514, "pad_token_id": 1, "hidden_dropout_prob": 0.1},
    "roberta-large": {"num_attention_heads": 16, "layer_norm_eps": 1e-5, "type_vocab_size": 1},
    "t5-base": {"d_kv": 64, "dense_act_fn": "relu", "is_gated_act": False, "dropout_rate": 0.1},
    "llama-3.1-8b": {"max_position_embeddings": 131072, "tie_word_embeddings": False},
    "qwen3-0.6b": {"head_dim": 128, "num_key_value_heads": 8, "tie_word_embeddings": True},
    "qwen3-30b-a3b": {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    "gemma-3-27b": {"head_dim": 128, "query_pre_attn_scalar": 168, "sliding_window": 1024},
    "phi-4": {"num_key_value_heads": 10, "max_position_embeddings": 16384},
    "gpt-oss-20b": {"num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128},
    "mixtral-8x7b": {"num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": None},
    "deepseek-v2-lite": {"n_routed_experts": 64, "num_experts_per_tok": 6, "kv_lora_rank": 512},
    "modernbert-base": {"local_attention": 128, "max_position_embeddings": 8192},
    "deberta-v3-base": {"position_buckets": 256, "relative_attention": True},
    "vit-large": {"image_size": 224, "patch_size": 16, "num_attention_heads": 16},
    "swin-base": {"window_size": 7, "num_heads": [4, 8, 16, 32], "drop_path_rate": 0.1},
    "dinov2-base": {"image_size": 518, "patch_size": 14, "num_attention_heads": 12},
    "convnext-base": {"image_size": 224, "patch_size": 4, "drop_path_rate": 0.0},
    "whisper-large-v3": {"num_mel_bins": 128, "max_source_positions": 1500, "max_target_positions": 448},
    "clip-vit-large-patch14": {"projection_dim": 768, "logit_scale_init_value": 2.6592},
    "t5-small": {"scale_decoder_outputs": True, "decoder_start_token_id": 0, "tie_word_embeddings": True},
}


_WITHOUT_SDPA = ("deberta", "gpt-oss", "convnext", "tiny-convnext")


def test_every_preset_has_an_expected_count() -> None:
    assert set(PRESETS) == set(PUBLISHED) | set(TINY)


@pytest.mark.parametrize(("name", "count"), sorted({**PUBLISHED, **TINY}.items()))
def test_parameter_count(name: str, count: int) -> None:
    model = build_model(
        resolve_model(ModelChoice(name=name)),
        device=torch.device("meta"),
        dtype=torch.bfloat16,
        attention="eager" if name.startswith(_WITHOUT_SDPA) else "sdpa",
        checkpointing="none",
    )
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_published_settings(name: str) -> None:
    config = PRESETS[name].make_config()
    assert {field: getattr(config, field) for field in SETTINGS[name]} == SETTINGS[name]


@pytest.mark.parametrize(
    ("name", "theta"),
    [("llama-7b", 1e4), ("llama-2-7b", 1e4), ("llama-3-8b", 5e5), ("qwen2.5-7b", 1e6), ("mistral-7b", 1e4)],
)
def test_rotary_base(name: str, theta: float) -> None:
    rope = PRESETS[name].make_config().rope_parameters
    assert (rope["rope_type"], rope["rope_theta"]) == ("default", theta)


@pytest.mark.parametrize("name", ["llama-3.2-1b", "llama-3.2-3b"])
def test_llama_3_2_rotary_scaling(name: str) -> None:
    assert PRESETS[name].make_config().rope_parameters == {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "tiny-qwen2"])
def test_qwen_has_biases_on_query_key_value_alone(name: str) -> None:
    model = build_model(
        resolve_model(ModelChoice(name=name)),
        device=torch.device("meta"),
        dtype=torch.bfloat16,
        attention="sdpa",
        checkpointing="none",
    )
    biased = {key.split(".")[-2] for key, _ in model.named_parameters() if key.endswith(".bias")}
    assert biased == {"q_proj", "k_proj", "v_proj"}
