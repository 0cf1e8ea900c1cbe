"""A bias beside packed weights, in a wider type than what comes in: bitsandbytes wants one type of both."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lorafa_prof.layers.low_rank_functions import frozen_linear


class Packed:
    """A quantized weight that checks its bias as bitsandbytes' `gemm_4bit` does."""

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        assert bias is None or bias.dtype == x.dtype, (
            f"bias dtype ({bias.dtype}) must match A dtype ({x.dtype})"
        )
        return x if bias is None else x + bias

    def input_gradient(self, grad: Tensor) -> Tensor:
        return grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_a_bias_is_cast_to_what_comes_in(dtype: torch.dtype) -> None:
    x = torch.ones(2, 3, dtype=dtype)
    assert frozen_linear(x, Packed(), torch.ones(3)).equal(x + 1)
    assert frozen_linear(x, Packed(), None).equal(x)
