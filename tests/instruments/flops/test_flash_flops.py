"""FLOPs of flash-attention's operations, those of its packages by the order of their arguments there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lorafa_prof.instruments.flops.formulas import formula_of

HEADS, GROUPS, WIDTH = 4, 2, 16
#: Two sequences, of queries and keys.
TOTALS = [torch.tensor([0, 5, 12]), torch.tensor([0, 6, 16])]
PAIRS = 5 * 6 + 7 * 10
NOTHING: list[Any] = [None]


def qkv(*rows: tuple[int, ...]) -> list[Tensor]:
    queries, keys = rows
    return [
        torch.empty(*queries, HEADS, WIDTH, device="meta"),
        *(torch.empty(*keys, GROUPS, WIDTH, device="meta") for _ in range(2)),
    ]


def flops(name: str, *args: Any) -> int:
    formula = formula_of(SimpleNamespace(_overloadpacket=name))
    assert formula is not None
    return formula(*args, out_val=None)


DENSE, VARLEN = qkv((2, 5), (2, 6)), qkv((12,), (16,))
# dout, then q, k, v; and after them out, softmax_lse, dq, dk, dv.
BACK, VARBACK = [[x[0], *x, x[0], *NOTHING * 4] for x in (DENSE, VARLEN)]


@pytest.mark.parametrize(
    ("name", "args", "products"),
    [
        ("flash_attn._flash_attn_forward", [*DENSE, 0.0, 1.0, True], 2),
        ("flash_attn._flash_attn_backward", [*BACK, 0.0, 1.0, True], 5),
        ("flash_attn_3.fwd", [*DENSE, *NOTHING * 20], 2),
        ("flash_attn_3.bwd", [*BACK, *NOTHING * 10], 5),
        ("flash_attn_3._flash_attn_forward", DENSE, 2),
        ("flash_attn_3._flash_attn_backward", [*BACK[:6], *NOTHING * 6], 5),
        ("lorafa_prof.flash_attention_2_forward", DENSE, 2),
        ("lorafa_prof.flash_attention_3_backward", BACK, 5),
    ],
)
def test_all_pairs_of_equal_sequences_count(name: str, args: list[Any], products: int) -> None:
    assert flops(name, *args) == products * 2 * (2 * 5 * 6) * HEADS * WIDTH


@pytest.mark.parametrize(
    ("name", "args", "products"),
    [
        ("flash_attn._flash_attn_varlen_forward", [*VARLEN, *TOTALS, 7, 10, 0.0, 1.0, True], 2),
        ("flash_attn._flash_attn_varlen_backward", [*VARBACK, *TOTALS, 7, 10, 0.0, 1.0, True], 5),
        # k_new, v_new, q_v, out
        ("flash_attn_3.fwd", [*VARLEN, *NOTHING * 4, *TOTALS, *NOTHING * 10], 2),
        ("flash_attn_3.bwd", [*VARBACK, *TOTALS, *NOTHING * 10], 5),
        ("flash_attn_3._flash_attn_forward", [*VARLEN, *NOTHING * 4, *TOTALS], 2),
        ("flash_attn_3._flash_attn_backward", [*VARBACK[:6], *TOTALS, *NOTHING * 4], 5),
        ("lorafa_prof.flash_attention_2_forward", [*VARLEN, *TOTALS, 7, 10], 2),
        ("lorafa_prof.flash_attention_2_backward", [*VARBACK, *TOTALS, 7, 10], 5),
        ("lorafa_prof.flash_attention_3_forward", [*VARLEN, *TOTALS, 7, 10], 2),
        ("lorafa_prof.flash_attention_3_backward", [*VARBACK, *TOTALS, 7, 10], 5),
    ],
)
def test_only_pairs_within_a_sequence_count(name: str, args: list[Any], products: int) -> None:
    assert flops(name, *args) == products * 2 * PAIRS * HEADS * WIDTH
