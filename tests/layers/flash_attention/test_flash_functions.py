"""What autograd keeps of flash-attention's functions, by what the packages document."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.flash_attention import version_2, version_3

BATCH, QUERIES, KEYS, HEADS, GROUPS, WIDTH = 2, 24, 40, 4, 2, 16
VERSIONS = {"flash_attention_2": version_2, "flash_attention_3": version_3}
both = pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)


def qkv(*, varlen: bool = False, width: int = WIDTH, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    tensors = []
    for tokens, heads in ((QUERIES, HEADS), (KEYS, GROUPS), (KEYS, GROUPS)):
        shape = (BATCH * tokens,) if varlen else (BATCH, tokens)
        tensors.append(torch.empty(*shape, heads, width, dtype=dtype, device="meta", requires_grad=True))
    return tensors


def lengths(tokens: int) -> Tensor:
    return torch.arange(BATCH + 1, dtype=torch.int32, device="meta") * tokens


def ran(
    version: ModuleType, varlen: bool = False, **options: Any
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The result, what went in, and what was saved, in its order."""
    given = qkv(varlen=varlen, **options)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        if varlen:
            totals = (lengths(QUERIES), lengths(KEYS), QUERIES, KEYS)
            result = version.flash_attn_varlen_func(*given, *totals, causal=True)
        else:
            result = version.flash_attn_func(*given, causal=True)
    return result, given, saved


def forms(tensors: list[Tensor]) -> list[Any]:
    return [(tuple(x.shape), x.dtype) for x in tensors]


@both
def test_the_inputs_the_result_and_the_scores_sums_are_kept(version: ModuleType) -> None:
    result, given, saved = ran(version)
    sums = ((BATCH, HEADS, QUERIES), torch.float32)
    random = [((2,), torch.int64)] if version is version_2 else []
    assert forms(saved) == [*forms([*given, result]), sums, *random]
    assert all(
        x.untyped_storage()._cdata == y.untyped_storage()._cdata for x, y in zip(given, saved, strict=False)
    )
    assert saved[3].untyped_storage()._cdata == result.untyped_storage()._cdata


@both
def test_of_variable_length_the_running_totals_are_kept_too(version: ModuleType) -> None:
    result, given, saved = ran(version, varlen=True)
    sums = ((HEADS, BATCH * QUERIES), torch.float32)
    random = [((2,), torch.int64)] if version is version_2 else []
    assert forms(saved) == [*forms([*given, result]), sums, *[((BATCH + 1,), torch.int32)] * 2, *random]


@both
@pytest.mark.parametrize("varlen", [False, True])
def test_backward_gives_gradients_like_what_went_in(version: ModuleType, varlen: bool) -> None:
    result, given, _ = ran(version, varlen)
    gradients = torch.autograd.grad(result, given, torch.empty_like(result))
    assert forms(list(gradients)) == forms(given)


def test_version_2_keeps_odd_heads_padded_to_a_multiple_of_8() -> None:
    result, given, saved = ran(version_2, width=20)
    assert result.shape[-1] == 20
    assert [x.shape[-1] for x in saved[:4]] == [24] * 4
    gradients = torch.autograd.grad(result, given, torch.empty_like(result))
    assert forms(list(gradients)) == forms(given)


def test_version_2_keeps_nothing_where_nothing_is_trained() -> None:
    given = [x.detach() for x in qkv()]
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        version_2.flash_attn_func(*given)
    with torch.no_grad():
        assert version_2.flash_attn_func(*qkv()).grad_fn is None
    assert saved == []


@both
def test_32_bits_are_one_line(version: ModuleType) -> None:
    with pytest.raises(
        UsageError, match="take fp16 and bf16 alone, and the model computes its queries in float32"
    ):
        ran(version, dtype=torch.float32)


@both
def test_heads_that_are_too_wide_are_one_line(version: ModuleType) -> None:
    with pytest.raises(UsageError, match="heads are 264 wide, and the kernels take at most 256"):
        ran(version, width=264)


def test_version_3_pads_no_heads() -> None:
    with pytest.raises(UsageError, match="heads are 20 wide, and the kernels take multiples of 8"):
        ran(version_3, width=20)


def test_transformers_hands_dropout_and_windows_to_what_has_them() -> None:
    asked = ("dropout_p", "window_size", "softcap", "deterministic", "max_seqlen_q", "max_seqlen_k")
    has = {
        name: {word for word in asked if word in inspect.signature(version.flash_attn_varlen_func).parameters}
        for name, version in VERSIONS.items()
    }
    assert has["flash_attention_2"] == set(asked)
    assert has["flash_attention_3"] == {*asked} - {"dropout_p"}


def test_rows_are_put_back_among_their_padding() -> None:
    rows = torch.arange(1.0, 7.0).view(3, 2).requires_grad_()
    padded = version_2.pad_input(rows, torch.tensor([0, 1, 3]), 2, 2)
    assert padded.tolist() == [[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [5.0, 6.0]]]
    (gradient,) = torch.autograd.grad(padded, rows, torch.arange(8.0).view(2, 2, 2))
    assert gradient.tolist() == [[0.0, 1.0], [2.0, 3.0], [6.0, 7.0]]
