"""Flex attention as compiled, by what PyTorch's own functions make and keep; tensors have shapes alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import flex_attention as theirs

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.flex_attention import create_block_mask, flex_attention

BATCH, TOKENS, HEADS, GROUPS, WIDTH = 2, 200, 4, 2, 32
AUX = theirs.AuxRequest(lse=True)
OF_A_MASK = [
    f"{part}{line}_{what}"
    for line in ("kv", "q")
    for part in ("", "full_")
    for what in ("num_blocks", "indices")
]


def causal(b: Any, h: Any, q: Any, k: Any) -> Any:
    return q >= k


def unchanged(score: Tensor, b: Any, h: Any, q: Any, k: Any) -> Tensor:
    return score


def qkv(width: int = WIDTH, device: str = "meta") -> list[Tensor]:
    """As linear layers leave them: [b, s, h, d] in memory."""
    shapes = ((BATCH, TOKENS, heads, width) for heads in (HEADS, GROUPS, GROUPS))
    made = (torch.empty(*shape, device=device, dtype=torch.bfloat16, requires_grad=True) for shape in shapes)
    return [tensor.transpose(1, 2) for tensor in made]


def ran(mask: Any = None, score: Any = unchanged, **options: Any) -> tuple[Any, list[Tensor], list[Tensor]]:
    given = qkv(**options)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):  # type: ignore[func-returns-value]
        result = flex_attention(*given, score_mod=score, block_mask=mask, enable_gqa=True, return_aux=AUX)
    return result, given, saved


def forms(tensors: list[Tensor]) -> list[Any]:
    return [(tuple(x.shape), x.dtype) for x in tensors]


def test_the_inputs_the_result_its_sums_and_the_mask_are_kept() -> None:
    mask = create_block_mask(causal, BATCH, None, TOKENS, TOKENS, device="meta")
    (out, aux), given, saved = ran(mask)
    sums = ((BATCH, HEADS, TOKENS), torch.float32)
    assert forms(saved) == [*forms([*given, out]), sums, *forms([getattr(mask, name) for name in OF_A_MASK])]
    assert forms([aux.lse]) == [sums]
    assert saved[4].untyped_storage()._cdata != aux.lse.untyped_storage()._cdata
    assert out.stride() == given[0].stride()


@pytest.mark.parametrize(("queries", "keys"), [(100, 100), (128, 128), (200, 300), (1000, 640)])
def test_a_mask_has_the_tensors_of_pytorchs_own(queries: int, keys: int) -> None:
    ours = create_block_mask(causal, BATCH, None, queries, keys, device="meta", _compile=True)
    pytorchs = theirs.create_block_mask(causal, BATCH, None, queries, keys, device="cpu")
    for name in OF_A_MASK:
        assert forms([getattr(ours, name)]) == forms([getattr(pytorchs, name)]), name
    assert (ours.seq_lengths, ours.BLOCK_SIZE) == (pytorchs.seq_lengths, pytorchs.BLOCK_SIZE)
    assert ours.mask_mod is causal


def test_what_a_mask_or_a_score_reads_is_kept() -> None:
    padding = torch.ones(BATCH, TOKENS, dtype=torch.bool, device="meta")
    bias = torch.empty(TOKENS, TOKENS, device="meta")

    def padded(b: Any, h: Any, q: Any, k: Any) -> Any:
        return padding[b, k]

    def biased(score: Tensor, b: Any, h: Any, q: Any, k: Any) -> Tensor:
        return score + bias[q, k]

    both = theirs.and_masks(causal, padded)
    mask = create_block_mask(both, BATCH, None, TOKENS, TOKENS, device="meta")
    _, _, saved = ran(mask, biased)
    assert forms(saved)[-2:] == forms([padding, bias])


def test_backward_gives_gradients_like_what_went_in() -> None:
    (out, aux), given, _ = ran()
    for used in ([out], [out, aux.lse]):
        gradients = torch.autograd.grad(used, given, [torch.empty_like(x) for x in used], retain_graph=True)
        assert forms(list(gradients)) == forms(given)
        assert [x.stride() for x in gradients] == [x.stride() for x in given]


def test_narrow_heads_and_trained_biases_are_one_line() -> None:
    with pytest.raises(UsageError, match="heads are 8 wide, and the compiled kernel takes 16 at least"):
        ran(width=8)
    bias = torch.empty(TOKENS, TOKENS, device="meta", requires_grad=True)
    with pytest.raises(UsageError, match="trains a bias of its scores, whose gradient is not modelled"):
        ran(score=lambda score, b, h, q, k: score + bias[q, k])
