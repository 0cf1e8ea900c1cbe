"""Cells with values of `checkpointing` on the twin: bytes by formula, FLOPs, notes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cells import TWIN
from tiny_cells import SEQ, TOKENS, tiny_cell

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_step

CONFIG = resolve_model(ModelChoice(name="tiny-llama")).config
LAYERS, HIDDEN, INNER = CONFIG.num_hidden_layers, CONFIG.hidden_size, CONFIG.intermediate_size
HEADS, GROUPS = CONFIG.num_attention_heads, CONFIG.num_key_value_heads
KV = HIDDEN * GROUPS // HEADS
#: Ranks of packed adapters are rounded up to 16 bytes.
LOW = 8
#: Enough for a layer's tensors to be moved: 2 MiB of hidden states.
LARGE: dict[str, Any] = {"batch": 32, "seq": 512}


def measured(checkpointing: str, kernels: str = "packed", **settings: Any) -> CellResult:
    settings = {"dtype": "bf16", "device": TWIN, **settings}
    result = measure_cell(tiny_cell(kernels=kernels, checkpointing=checkpointing, **settings))
    assert result.row["status"] == "ok", result.row["message"]
    assert result.details["reconciliation"]["residual_bytes"] == 0
    return result


def held(result: CellResult) -> int:
    found = result.details["reconciliation"]
    return int(found["activation_bytes"] - found["slack_bytes"])


def of_attention(tokens: int) -> int:
    """Bytes of attention's output, of the logarithms of its sums, and of two numbers for its dropout."""
    return 2 * tokens * HIDDEN + 4 * tokens * HEADS + 16


def of_gate_and_up(tokens: int) -> int:
    """Bytes of the packed product, its adapters', and the norm's r."""
    return 2 * tokens * (2 * INNER + 2 * LOW) + 4 * tokens


def test_packed_attention_and_mlp_by_the_formula() -> None:
    none = held(measured("none"))
    # What attention is given beside q, k and v is kept to run it again: the positions, once.
    attention = LAYERS * of_attention(TOKENS) - 8 * SEQ
    assert none - held(measured("attention")) == attention
    assert none - held(measured("mlp")) == LAYERS * of_gate_and_up(TOKENS)
    assert none - held(measured("mlp=0.5")) == LAYERS // 2 * of_gate_and_up(TOKENS)
    assert none - held(measured("attention+mlp")) == attention + LAYERS * of_gate_and_up(TOKENS)


def test_packed_full_keeps_what_goes_into_each_half() -> None:
    none, full = held(measured("none")), held(measured("full"))
    of_qkv = 2 * TOKENS * (HIDDEN + 2 * KV + 3 * LOW) + 4 * TOKENS  # with the norm's r
    gone = LAYERS * (of_qkv + of_attention(TOKENS) + of_gate_and_up(TOKENS))
    # The angles of the rotary embedding and the positions are kept for the first half.
    assert 0 <= gone - (none - full) <= 2 * 2 * SEQ * HIDDEN // HEADS + 8 * SEQ


@pytest.mark.parametrize("kernels", ["eager", "packed"])
def test_what_is_offloaded_is_not_held(kernels: str) -> None:
    none, half, all_ = (measured(value, kernels, **LARGE) for value in ("none", "offload=0.5", "offload=1"))
    assert held(all_) < 0.3 * held(none) < held(half) < held(none)
    assert "up to 50% of what layers save waits in pinned host memory" in half.row["message"]
    # Backward brings a layer back while others are there.
    assert all_.row["peak_backward_bytes"] < none.row["peak_backward_bytes"]


@pytest.mark.parametrize("kernels", ["eager", "packed"])
@pytest.mark.parametrize("checkpointing", ["attention", "mlp", "attention+mlp+offload", "full+offload"])
def test_what_runs_again_is_no_work_of_the_model(kernels: str, checkpointing: str) -> None:
    # With a frozen base `full` makes the embeddings' output require a gradient, which is work more.
    method = "full-ft" if checkpointing.startswith("full") else "lora-fa"
    none, other = (
        measured(value, kernels, method=method).details["flops"] for value in ("none", checkpointing)
    )
    assert other["recomputed"] > 0
    assert sum(other["by_phase"].values()) - other["recomputed"] == sum(none["by_phase"].values())


def test_a_cpu_has_nowhere_to_offload_to() -> None:
    with pytest.raises(
        UsageError, match=r"'full\+offload' moves tensors from a GPU to the host, and on the CPU"
    ):
        prepare_step(tiny_cell(checkpointing="full+offload"), torch.device("cpu"))
