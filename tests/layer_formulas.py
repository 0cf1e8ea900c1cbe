"""What one eager layer of a multi-head Llama keeps for backward, in bytes per token."""

from __future__ import annotations

from typing import Any

from lorafa_prof.models.resolve import ResolvedModel

QV = "q_proj,v_proj"

#: Method, options, adapter dtype; bytes per token and layer on a bf16 base: times h, i and r.
FORMULAS: list[tuple[str, dict[str, Any], str, tuple[int, int, int]]] = [
    ("full-ft", {}, "bf16", (24, 8, 0)),
    ("lora", {}, "bf16", (20, 8, 14)),
    ("peft-lora", {}, "bf16", (20, 8, 14)),
    ("peft-lora", {}, "fp32", (40, 10, 28)),
    ("lora-fa", {}, "bf16", (16, 6, 14)),
    ("peft-lora-fa", {}, "bf16", (16, 6, 14)),
    ("peft-lora-fa", {}, "fp32", (16, 6, 28)),
    ("lora", {"targets": QV}, "bf16", (18, 6, 4)),
    ("peft-lora", {"targets": QV}, "bf16", (18, 6, 4)),
    ("lora-fa", {"targets": QV}, "bf16", (16, 6, 4)),
    # Adapters in fp32 on a bf16 base: ours compute in bf16 and so keep no wider copies.
    ("lora", {}, "fp32", (20, 8, 14)),
    ("lora-fa", {}, "fp32", (16, 6, 14)),
    # A mask of one byte for every input: six of h, one of i.
    ("lora", {"dropout": 0.1}, "bf16", (20 + 6, 8 + 1, 14)),
    ("lora-fa", {"dropout": 0.1}, "bf16", (16 + 6, 6 + 1, 14)),
]
IDS = [
    "-".join([method, *(str(value) for value in options.values()), dtype])
    for method, options, dtype, _ in FORMULAS
]


def bytes_per_token(
    coefficients: tuple[int, int, int], *, hidden: int, intermediate: int, heads: int, rank: int
) -> int:
    """The formula, and what it leaves out for being small, all of it fp32: 1/rms of two norms, and the
    log-sum-exp that fused attention keeps for each head.
    """
    h, i, r = coefficients
    return h * hidden + i * intermediate + r * rank + 2 * 4 + 4 * heads


def multi_head_llama(layers: int, *, hidden: int, intermediate: int, heads: int) -> ResolvedModel:
    """A Llama without grouped heads."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=256,
        max_position_embeddings=1024,
    )
    return ResolvedModel(
        name="multi-head-llama", task="causal-lm", config=config, weights="random", source="synthetic"
    )
