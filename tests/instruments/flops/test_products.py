"""A product without a formula is recognised, by its name or by the shapes of what goes in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from lorafa_prof.instruments.flops.counter import FlopCounter
from lorafa_prof.instruments.flops.formulas import formula_of
from lorafa_prof.instruments.flops.products import is_product

PRODUCTS = [
    "aten._weight_int4pack_mm",
    "aten._dyn_quant_matmul_4bit",
    "aten._cslt_sparse_mm",
    "aten._trilinear",
    "aten.mkldnn_linear",
    "aten._thnn_fused_lstm_cell",
    "quantized.conv2d",
    "mkldnn._convolution_pointwise",
    "bitsandbytes.int8_mixed_scaled_mm",
    "torchao.scaled_grouped_mm",
    "flash_attn._flash_attn_varlen_forward",
]
NONE = [
    "aten.add",
    "aten.mul",
    "aten.clamp_min",
    "aten.gamma",
    "aten.embedding",
    "aten._softmax",
    "aten.upsample_linear1d",
    "aten.cummax",
    "aten._log_softmax_backward_data",
    "aten.linalg_pinv",
    "aten._fused_adamw_",
    "bitsandbytes.int8_mm_dequant",
    "bitsandbytes.dequantize_4bit",
    "fbgemm.pack_gemm_matrix_fp16",
]


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_name_says_product(name: str) -> None:
    assert is_product(name, (), torch.rand(1))


@pytest.mark.parametrize("name", NONE)
def test_a_name_says_none(name: str) -> None:
    assert not is_product(name, (torch.rand(3, 4),), torch.rand(3, 4))


def test_an_operation_of_others_is_told_by_its_shapes() -> None:
    x, weight, y = torch.rand(2, 3, 4), torch.rand(5, 4), torch.rand(2, 3, 5)
    assert is_product("theirs.forward", (x, weight, 7), y)
    assert is_product("theirs.forward", (weight.T, [x]), (None, y))
    assert not is_product("aten.forward", (x, weight), y)
    assert not is_product("theirs.forward", (x, x), x)
    assert not is_product("theirs.forward", (torch.rand(4, 4), torch.rand(4, 4)), torch.rand(4, 4))
    assert not is_product("theirs.forward", (x, torch.rand(4)), x)
    assert not is_product("theirs.forward", (torch.zeros(2, 4, dtype=torch.int64), torch.rand(9, 4)), y)


@pytest.fixture
def library() -> Iterator[torch.library.Library]:
    with torch.library._scoped_library("lorafa_prof_test", "FRAGMENT") as scoped:
        yield scoped


def test_a_step_lists_its_products_apart_from_other_uncounted_operations(
    library: torch.library.Library,
) -> None:
    library.define("blocks(Tensor x, Tensor w) -> Tensor")
    library.impl("blocks", lambda x, w: (x @ w).relu(), "CPU")
    blocks: Callable[[Tensor, Tensor], Tensor] = torch.ops.lorafa_prof_test.blocks
    with FlopCounter(nn.Identity()) as counter:
        counter.phase_started("forward")
        for _ in range(2):
            blocks(torch.rand(3, 4), torch.rand(4, 5)).exp()
        counter.phase_ended("forward")
    count = counter.count()
    assert count.uncounted_products == {"lorafa_prof_test.blocks": 2}
    assert count.uncounted.items() >= {"lorafa_prof_test.blocks": 2, "aten.exp": 2}.items()
    assert count.step == 0


def test_products_of_vectors_and_of_small_types_count() -> None:
    matrix, vector = torch.rand(3, 4), torch.rand(4)
    small = torch.ones(32, 32, dtype=torch.int8)
    with FlopCounter(nn.Identity()) as counter:
        counter.phase_started("forward")
        torch.mv(matrix, vector)
        torch.addmv(torch.rand(3), matrix, vector)
        torch.dot(vector, vector)
        torch._int_mm(small, small)
        torch.addbmm(torch.rand(3, 5), torch.rand(2, 3, 4), torch.rand(2, 4, 5))
        counter.phase_ended("forward")
    assert counter.count().by_phase["forward"] == 24 + 24 + 8 + 2 * 32**3 + 2 * 2 * 3 * 4 * 5
    assert not counter.count().uncounted_products


def test_a_product_whose_type_is_given_counts_as_any_other() -> None:
    a, b, out = torch.ones(3, 4), torch.ones(4, 5), torch.ones(3, 5)
    addmm = torch.ops.aten.addmm
    for overload, args in ((addmm.default, (out, a, b)), (addmm.dtype_out, (out, a, b, torch.float32))):
        formula = formula_of(overload)
        assert formula is not None
        assert formula(*args, out_val=out) == 2 * 3 * 4 * 5
