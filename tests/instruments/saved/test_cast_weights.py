"""Copies of weights that autocast makes and autograd saves are a kind of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import observe, tiny_cell
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lorafa_prof.explaining.composition import Piece
from lorafa_prof.explaining.reasons import reasons
from lorafa_prof.explaining.remedies import remedies_for
from lorafa_prof.instruments.saved.kinds import is_cast_weight
from lorafa_prof.layers.low_rank_linear import LoraLinear
from lorafa_prof.results.tensors import TensorKey
from lorafa_prof.running.prepare import prepare_step

BF16 = torch.bfloat16
SQUARE = nn.Linear(8, 8)
ADAPTED = LoraLinear(nn.Linear(8, 8), rank=4, scale=1.0, dropout=0.0, adapter_dtype=torch.float32)


@pytest.mark.parametrize(
    ("tensor", "module", "expected"),
    [
        (SQUARE.weight.to(BF16).t(), SQUARE, True),
        (torch.zeros(8, 8, dtype=BF16), SQUARE, False),  # as many tokens as it is wide
        (SQUARE.weight.detach().t(), SQUARE, False),  # itself
        (torch.zeros(16, 8, dtype=BF16), nn.Linear(8, 16), False),
        (torch.zeros(16, 8, dtype=BF16)[:8].t(), SQUARE, False),  # a part of something larger
        (torch.zeros(8, 4, dtype=BF16), Conv1D(4, 8), True),
        (torch.zeros(3, 8, dtype=torch.int32), nn.Embedding(3, 8), False),
        (torch.zeros(8, dtype=torch.float32), nn.LayerNorm(8, dtype=BF16), True),
        (torch.zeros(8, 4, dtype=BF16), ADAPTED, False),
    ],
)
def test_it_is_told_by_its_size_shape_and_layout(tensor: Tensor, module: nn.Module, expected: bool) -> None:
    assert is_cast_weight(tensor, (nn.Module(), module)) is expected


def test_outside_of_modules_there_is_none() -> None:
    assert not is_cast_weight(torch.zeros(3), ())


def cast_weights(method: str, **settings: Any) -> int:
    return observe(tiny_cell(method=method, autocast="bf16", **settings))[1].by_kind["cast_weight"]


def test_full_fine_tuning_keeps_a_copy_of_every_linear() -> None:
    prepared, _ = prepare_step(tiny_cell(method="full-ft"), torch.device("cpu"))
    linears = {
        m.weight.data_ptr(): m.weight.numel() for m in prepared.model.modules() if isinstance(m, nn.Linear)
    }
    assert cast_weights("full-ft") == 2 * sum(linears.values())
    assert cast_weights("full-ft", dtype="bf16") == 0


def test_our_layers_keep_none_and_pefts_one_each() -> None:
    prepared, _ = prepare_step(tiny_cell(method="full-ft"), torch.device("cpu"))
    head: Any = prepared.model.get_submodule("lm_head")
    assert cast_weights("lora") == cast_weights("lora-fa") == 2 * head.weight.numel()
    assert cast_weights("peft-lora") > cast_weights("full-ft", dtype="fp32") - 2 * head.weight.numel()
    assert cast_weights("lora", dtype="bf16", adapter_dtype="fp32") == 0


def test_explain_says_what_removes_them() -> None:
    key = TensorKey("model.layers.*.mlp.up_proj", "cast_weight", "linear", "bfloat16", (8, 8))
    assert "autocast's copy" in reasons(Piece("saved", key, 1, 128))[-1]
    for dtype, change in (("fp32", "dtype: bf16"), ("bf16", "adapter_dtype: bf16")):
        cell = tiny_cell(method="peft-lora", dtype=dtype, adapter_dtype="fp32", autocast="bf16")
        remedy = next(remedy for remedy in remedies_for(cell) if remedy.change == change)
        assert remedy.meaning.endswith("of which autocast makes no copies")
