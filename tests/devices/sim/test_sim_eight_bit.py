"""The stand-in for bitsandbytes' optimizers asks for the memory that bitsandbytes itself asks for.

bitsandbytes runs on shapes here, so its Python is what it runs on a GPU; its kernels allocate nothing. It is
no part of the tests' environment: without it these are skipped, and with it they need no GPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ledger import on_meta, recording
from torch import nn

from lorafa_prof.optim.eight_bit_shapes import EightBitShapes

bitsandbytes = pytest.importorskip("bitsandbytes")

#: Below and above 4096 elements, and 100,000, with blocks of 256 that are full and that are not.
SHAPES = [(3,), (4095,), (4096,), (64, 65), (99_999,), (400, 250), (1000, 333)]


def requests(make: Any, *, transposed: bool = False) -> list[int]:
    """What three steps ask for, in order, beside the gradients themselves."""
    with recording() as ledger:
        params = [nn.Parameter(on_meta(*shape, dtype=torch.bfloat16)) for shape in SHAPES]
        optimizer = make(params)
        asked: list[int] = []
        for _ in range(3):
            for param in params:
                shape = tuple(reversed(param.shape)) if transposed else tuple(param.shape)
                gradient = on_meta(*shape, dtype=param.dtype)
                param.grad = gradient.t() if transposed and gradient.dim() == 2 else gradient
            before = len(ledger.events)
            del gradient
            optimizer.step()
            asked.extend(ledger.events[before:])
            asked.append(0)
            optimizer.zero_grad()
    return asked


@pytest.mark.parametrize("transposed", [False, True])
def test_eight_bits(transposed: bool) -> None:
    theirs = requests(lambda params: bitsandbytes.optim.AdamW8bit(params, lr=1e-4), transposed=transposed)
    ours = requests(lambda params: EightBitShapes(params, lr=1e-4, paged=False), transposed=transposed)
    assert ours == theirs
    assert sum(1 for size in ours if size) > 20


def test_paged(monkeypatch: pytest.MonkeyPatch) -> None:
    managed: list[int] = []

    def get_paged(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        made = torch.empty(shape, dtype=dtype, device="cpu")
        made.is_paged = True  # type: ignore[attr-defined]
        managed.append(made.nbytes)
        return made

    monkeypatch.setattr(bitsandbytes.functional, "get_paged", get_paged)
    monkeypatch.setattr(bitsandbytes.functional, "fill", lambda *args: None)
    monkeypatch.setattr(bitsandbytes.functional, "prefetch_tensor", lambda *args: None)
    monkeypatch.setattr(bitsandbytes.functional, "optimizer_update_8bit_blockwise", lambda *args, **kw: None)
    theirs = requests(lambda params: bitsandbytes.optim.PagedAdamW8bit(params, lr=1e-4))
    made: list[EightBitShapes] = []

    def make(params: list[nn.Parameter]) -> EightBitShapes:
        made.append(EightBitShapes(params, lr=1e-4, paged=True))
        return made[0]

    assert requests(make) == theirs
    assert managed == [100_000, 100_000, 333_000, 333_000]
    from lorafa_prof.optim.eight_bit import managed_bytes

    assert managed_bytes(made[0]) == sum(managed)
