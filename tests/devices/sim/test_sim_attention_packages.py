"""What flash-attention's packages allocate, request by request, as its `mha_fwd` and `mha_bwd` read."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from ledger import A100, H100, recording

from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.layers.flash_attention import version_2, version_3


def events(
    version: ModuleType,
    *,
    length: int = 200,
    batch: int = 8,
    heads: int = 16,
    groups: int | None = None,
    width: int = 40,
    documents: list[int] | None = None,
    machine: Machine = A100,
    **options: Any,
) -> tuple[list[int], list[int]]:
    """Requests of forward and of backward, in order; freed below zero."""
    with recording(machine) as ledger:
        rows = [sum(documents)] if documents else [batch, length]
        q, k, v = (
            torch.empty(*rows, count, width, dtype=torch.bfloat16, device="cuda", requires_grad=True)
            for count in (heads, groups or heads, groups or heads)
        )
        if documents:
            ends = torch.tensor([sum(documents[:i]) for i in range(len(documents) + 1)], dtype=torch.int32)
            totals = ends.cuda()
            call = (version.flash_attn_varlen_func, (q, k, v, totals, totals, max(documents), max(documents)))
        else:
            call = (version.flash_attn_func, (q, k, v))
        before = len(ledger.events)
        result = call[0](*call[1], **options)
        forward = ledger.events[before:]
        gradient = torch.empty_like(result)
        before = len(ledger.events)
        gradients = torch.autograd.grad(result, (q, k, v), gradient)
        backward = ledger.events[before:]
        del gradients
    return forward, backward


def temporaries(backward: list[int]) -> list[int]:
    """What backward takes after the three gradients, whose sizes go before."""
    return [size for size in backward[3:] if size > 0]


def test_forward_2_takes_its_result_the_scores_sums_and_a_random_state() -> None:
    out, sums = 2 * 8 * 200 * 16 * 40, 4 * 8 * 16 * 200
    assert events(version_2)[0] == [out, sums, 16]


def test_forward_2_splits_keys_where_few_rows_would_leave_the_gpu_idle() -> None:
    """As PyTorch's own flash attention, whose traces know of 7 splits here on an H100."""
    forward, _ = events(version_2, batch=1, heads=2, length=1024, width=64, machine=H100)
    out, sums = 2 * 1024 * 2 * 64, 4 * 2 * 1024
    splits = (forward[2]) // sums
    assert splits > 1
    assert forward[:5] == [out, sums, splits * sums, splits * sums * 64, 16]
    assert events(version_2, batch=1, heads=2, length=1024, width=64, machine=H100, dropout_p=0.1)[0] == [
        out, sums, 16,
    ]  # fmt: skip
    assert events(version_2, heads=2, documents=[1024], width=64, machine=H100)[0] == [out, sums, 16]


def test_backward_2_rounds_rows_to_128_and_width_to_32() -> None:
    assert temporaries(events(version_2)[1]) == [4 * 8 * 16 * 256, 4 * 8 * 16 * 256 * 64]


@pytest.mark.parametrize(("width", "rounded"), [(128, 128), (136, 192), (160, 192), (200, 256)])
def test_backward_2_rounds_wide_heads_to_64(width: int, rounded: int) -> None:
    assert temporaries(events(version_2, width=width)[1])[1] == 4 * 8 * 16 * 256 * rounded


def test_backward_2_has_128_rows_more_for_each_document() -> None:
    rows = 300 + 128 * 3
    _, backward = events(version_2, documents=[50, 150, 100])
    assert temporaries(backward) == [4 * 16 * rows, 4 * 16 * rows * 64]


def test_backward_2_has_gradients_of_grouped_heads_for_each_head() -> None:
    expanded = 2 * 8 * 200 * 16 * 40
    assert temporaries(events(version_2, groups=4)[1])[2:] == [expanded, expanded]
    _, backward = events(version_2, groups=4, documents=[50, 150])
    assert temporaries(backward)[2:] == [2 * 200 * 16 * 40] * 2


def test_backward_2_that_is_deterministic_has_a_part_for_each_idle_multiprocessor() -> None:
    _, backward = events(version_2, batch=1, length=128, deterministic=True)
    assert temporaries(backward)[1] == 7 * 4 * 16 * 128 * 64  # 108 multiprocessors over 16 heads


def test_forward_3_takes_a_counter_where_blocks_differ() -> None:
    out, sums = 2 * 8 * 200 * 16 * 40, 4 * 8 * 16 * 200
    assert events(version_3, machine=H100)[0] == [out, sums]
    assert events(version_3, machine=H100, causal=True)[0] == [out, sums, 4, -4]
    forward, _ = events(version_3, machine=H100, documents=[50, 150, 100])
    assert forward == [2 * 300 * 16 * 40, 4 * 16 * 300, 16, -16]


@pytest.mark.parametrize(
    ("width", "causal", "rows", "rounded"),
    [
        (40, True, 128, 64),
        (96, True, 64, 96),
        (128, False, 80, 128),
        (128, True, 64, 128),
        (192, False, 64, 192),
        (256, True, 64, 256),
    ],
)
def test_backward_3_rounds_rows_to_its_blocks(width: int, causal: bool, rows: int, rounded: int) -> None:
    padded = 8 * 16 * (-(-200 // rows) * rows)
    _, backward = events(version_3, width=width, causal=causal, machine=H100)
    turns = 4 * -(-200 // rows) * 8 * 16
    assert temporaries(backward) == [4 * padded, 4 * padded, 4 * padded * rounded, turns]


def test_backward_3_sums_grouped_heads_in_float32() -> None:
    _, backward = events(version_3, groups=4, machine=H100)
    assert temporaries(backward)[3:5] == [4 * 8 * 4 * 256 * 64] * 2
    _, backward = events(version_3, groups=4, documents=[50, 150, 100], machine=H100)
    rows = -(-(300 + 3 * 128) // 128) * 128
    queries, keys = 4 * 16 * rows, 4 * 4 * rows
    assert temporaries(backward) == [queries, queries, queries * 64, keys * 64, keys * 64, 4 * 2 * 3 * 16]


@pytest.mark.parametrize(("version", "random"), [(version_2, 16), (version_3, 0)])
def test_backward_gives_all_back_but_the_gradients(version: ModuleType, random: int) -> None:
    """And what forward kept of its own: the result lives on in the test."""
    gradients, sums = 2 * 8 * 200 * 40 * (16 + 4 + 4), 4 * 8 * 16 * 200
    assert sum(events(version, groups=4, machine=H100)[1]) == gradients - sums - random
