"""Products whose result has another type than their factors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ledger import on_meta, recording

from lorafa_prof.devices.sim.out_dtypes import OUT_DTYPE_PRODUCTS

BF16, FP32 = torch.bfloat16, torch.float32
CUBLAS = 32 << 20

pytestmark = pytest.mark.skipif(
    not OUT_DTYPE_PRODUCTS, reason="this PyTorch has no products with a type of the result"
)


@pytest.mark.parametrize("name", ["mm", "bmm", "addmm", "baddbmm"])
@pytest.mark.parametrize("with_out", [False, True])
def test_the_result_has_the_shape_of_the_product_and_the_type_that_is_asked_for(
    name: str, with_out: bool
) -> None:
    batch = (2,) if name.startswith("b") else ()
    with recording() as memory:
        added = on_meta(*batch, 3, 5, dtype=FP32)
        factors: list[Any] = [on_meta(*batch, 3, 4, dtype=BF16), on_meta(*batch, 4, 5, dtype=BF16)]
        if "add" in name:
            factors.insert(0, added)
        out = {"out": added} if with_out else {}
        before = len(memory.events)
        result = getattr(torch, name)(*factors, out_dtype=FP32, **out)
        events = memory.events[before:]
    assert (tuple(result.shape), result.dtype) == ((*batch, 3, 5), FP32)
    assert result.device.type == "cuda"
    assert (result is added) == with_out
    assert events == ([CUBLAS] if with_out else [result.numel() * 4, CUBLAS])
