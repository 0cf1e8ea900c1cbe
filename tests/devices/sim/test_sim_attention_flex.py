"""What flex attention allocates on the twin, request by request."""

from __future__ import annotations

import torch
from ledger import recording

from lorafa_prof.layers.flex_attention import flex_attention

ROWS = 8 * 16 * 200


def test_forward_and_backward() -> None:
    with recording() as ledger:
        q, k, v = (
            torch.empty(8, heads, 200, 40, dtype=torch.bfloat16, device="cuda", requires_grad=True)
            for heads in (16, 4, 4)
        )
        start = len(ledger.events)
        out = flex_attention(q, k, v, lambda score, b, h, i, j: score, enable_gqa=True)
        forward = ledger.events[start:]
        gradient = torch.empty_like(out)
        start = len(ledger.events)
        gradients = torch.autograd.grad(out, (q, k, v), gradient)
        backward = ledger.events[start:]
        del gradients
    sums, result, shared = 4 * ROWS, 2 * ROWS * 40, 2 * 8 * 4 * 200 * 40
    assert forward == [sums, sums, result, -sums, sums, -sums]
    assert [size for size in backward if size > 0] == [sums, sums, sums, result, shared, shared]
    # What is left: the gradients, less the sums that forward had kept.
    assert sum(backward) == result + 2 * shared - sums


def test_autocast_casts_what_goes_in() -> None:
    with recording(), torch.autocast("cuda", dtype=torch.bfloat16):
        q = torch.empty(2, 4, 32, 16, device="cuda")
        assert flex_attention(q, q, q.bfloat16(), lambda score, b, h, i, j: score).dtype == torch.bfloat16
