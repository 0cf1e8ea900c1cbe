"""Adapters on weights that a module multiplies by itself: the products of W + s · B A, and what they keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers.integrations.moe  # noqa: F401 - has an operation of its own
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_weight import AdaptedWeight, LoraFaWeight, LoraWeight, adapt_weight
from lorafa_prof.optim.lora_fa import correction_matrix

EXPERTS, INPUTS, OUTPUTS, ROWS, SCALE = 3, 8, 16, 10, 0.5
ENDS = torch.tensor([3, 3, ROWS], dtype=torch.int32)  # the second expert has no tokens
EACH = torch.arange(3).repeat_interleave(4)

PRODUCTS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "grouped_mm": lambda w, x: F.grouped_mm(x, w.transpose(-2, -1), offs=ENDS),
    "_grouped_mm": lambda w, x: torch._grouped_mm(x, w.transpose(-2, -1), offs=ENDS),
    "transformers' fallback": lambda w, x: torch.ops.transformers.grouped_mm_fallback(x, w.mT, offs=ENDS),
    "bmm": lambda w, x: torch.bmm(x[:9].view(3, 3, INPUTS), w.mT),
    "matmul by several": lambda w, x: x[:9].view(3, 3, INPUTS) @ w.mT,
    "bmm, a matrix for each row": lambda w, x: torch.bmm(w[EACH[:ROWS]], x.unsqueeze(-1)).squeeze(-1),
    "linear, one expert": lambda w, x: F.linear(x, w[1]),
    "linear with a bias": lambda w, x: F.linear(x, w[torch.tensor(2)], torch.ones(OUTPUTS)),
    "matmul, one expert": lambda w, x: x @ w[0].T,
    "mm from the left": lambda w, x: (w[0] @ x.t()).t(),
    "linear in another type": lambda w, x: F.linear(x.float(), w[0].type(torch.float32)),
}
products = pytest.mark.parametrize("product", list(PRODUCTS))
both = pytest.mark.parametrize("adapter", [LoraWeight, LoraFaWeight])


class Owner(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.proj = nn.Parameter(torch.randn(*shape), requires_grad=False)


def adapted(adapter: Any, *, rank: int = 4, dropout: float = 0.0, turned: bool = False) -> tuple[Owner, Any]:
    """A module with adapted weights of experts, whose B is not zero, and the adapter."""
    torch.manual_seed(0)
    owner = Owner(EXPERTS, INPUTS, OUTPUTS) if turned else Owner(EXPERTS, OUTPUTS, INPUTS)
    made = adapter(
        owner.proj, turned=turned, rank=rank, scale=SCALE, dropout=dropout, adapter_dtype=torch.float32
    )
    nn.init.normal_(made.lora_B)
    adapt_weight(owner, "proj", made)
    return owner, made


def full_weight(owner: Any, adapter: Any) -> Tensor:
    """W + s · B A, as a tensor that asks for its gradient."""
    change = SCALE * adapter.lora_B @ adapter.lora_A
    weight = owner.parametrizations.proj.original + (change.mT if adapter.turned else change)
    return weight.detach().requires_grad_()  # type: ignore[no-any-return]


def inputs() -> Tensor:
    return torch.randn(ROWS, INPUTS, generator=torch.Generator().manual_seed(1)).requires_grad_()


@both
@products
@pytest.mark.parametrize("rank", [3, 4])
def test_products_and_gradients_are_those_of_the_full_weight(adapter: Any, product: str, rank: int) -> None:
    """Rank 3 does not lie at the multiples of 16 bytes that a grouped product takes."""
    owner, made = adapted(adapter, rank=rank)
    weight, x = full_weight(owner, made), inputs()
    y, expected = PRODUCTS[product](owner.proj, x), PRODUCTS[product](weight, x)
    torch.testing.assert_close(y, expected)
    grad = torch.randn_like(y)
    trained = [x, made.lora_B] + ([made.lora_A] if adapter is LoraWeight else [])
    by_x, *got = torch.autograd.grad(y, trained, grad)
    expected_x, by_weight = torch.autograd.grad(expected, [x, weight], grad)
    wanted = [SCALE * by_weight @ made.lora_A.mT, SCALE * made.lora_B.mT @ by_weight]
    torch.testing.assert_close([by_x, *got], [expected_x, *wanted[: len(got)]], rtol=1e-4, atol=1e-4)


@both
def test_a_weight_with_inputs_first_is_multiplied_as_it_is_stored(adapter: Any) -> None:
    owner, made = adapted(adapter, turned=True)
    assert made.lora_A.shape == (EXPERTS, 4, INPUTS)
    assert made.lora_B.shape == (EXPERTS, OUTPUTS, 4)
    x = inputs()
    y = F.grouped_mm(x, owner.proj, offs=ENDS)
    torch.testing.assert_close(y, F.grouped_mm(x, full_weight(owner, made), offs=ENDS))


@both
def test_it_starts_as_its_base(adapter: Any) -> None:
    owner, made = adapted(adapter)
    nn.init.zeros_(made.lora_B)
    x = inputs()
    base = owner.parametrizations.proj.original  # type: ignore[union-attr, operator]
    assert torch.equal(F.grouped_mm(x, owner.proj.mT, offs=ENDS), F.grouped_mm(x, base.mT, offs=ENDS))
    assert made.lora_A.abs().max() <= INPUTS**-0.5
    assert made.lora_A.std() > 0.4 * INPUTS**-0.5  # of a uniform distribution up to there


@both
def test_dropout_is_on_the_low_rank_path_alone(adapter: Any) -> None:
    owner, made = adapted(adapter, dropout=0.5)
    x = inputs()
    torch.manual_seed(7)
    y = F.grouped_mm(x, owner.proj.mT, offs=ENDS)
    torch.manual_seed(7)
    mask = torch.native_dropout(x, 0.5, True)[1]
    base = owner.parametrizations.proj.original  # type: ignore[union-attr, operator]
    low = F.grouped_mm(x * mask * 2, (SCALE * made.lora_B @ made.lora_A).mT, offs=ENDS)
    expected = F.grouped_mm(x, base.mT, offs=ENDS) + low
    torch.testing.assert_close(y, expected)
    grad = torch.randn_like(y)
    wanted = torch.autograd.grad(expected, [x, made.lora_B], grad)
    torch.testing.assert_close(torch.autograd.grad(y, [x, made.lora_B], grad), wanted)


@pytest.mark.parametrize("product", ["grouped_mm", "bmm", "linear, one expert"])
def test_lora_fa_keeps_what_is_rank_wide_and_lora_its_input_too(product: str) -> None:
    def saved(adapter: Any) -> list[int]:
        owner, made = adapted(adapter)
        x, found = inputs(), []
        parameters = {p.untyped_storage().data_ptr() for p in owner.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in parameters:
                found.append(tensor.shape[-1])
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            PRODUCTS[product](owner.proj, x)
        assert made.rank not in (INPUTS, OUTPUTS)
        return [width for width in found if width != len(ENDS)]

    assert saved(LoraFaWeight) == [4]
    assert sorted(saved(LoraWeight)) == [4, INPUTS]


@pytest.mark.parametrize(
    "use",
    [
        lambda w: torch.einsum("eoi,ni->eno", w, torch.ones(2, INPUTS)),
        lambda w: w.transpose(0, 1),
        lambda w: w[0:2],
        lambda w: w.t(),
        lambda w: w.to("cpu"),
        lambda w: torch.ones(2, OUTPUTS) @ w[0],  # from the side of the outputs
        lambda w: F.grouped_mm(torch.ones(2, INPUTS), w.mT, offs=ENDS, bias=torch.ones(1)),
    ],
)
def test_another_use_is_an_error_and_no_wrong_product(use: Any) -> None:
    owner, _ = adapted(LoraWeight)
    with pytest.raises(UsageError, match="in a way that our adapters do not know") as caught:
        use(owner.proj)
    assert caught.value.about == "targets"


def test_what_a_model_asks_of_its_weight_beside_products_is_answered() -> None:
    owner, _ = adapted(LoraWeight)
    weight: Any = owner.proj
    assert isinstance(weight, AdaptedWeight)
    assert (weight.shape, weight.dtype, weight.device.type, weight.dim()) == (
        (EXPERTS, OUTPUTS, INPUTS),
        torch.float32,
        "cpu",
        3,
    )
    assert not hasattr(weight, "grad")


def test_the_correction_is_one_for_each_expert() -> None:
    a = torch.randn(EXPERTS, 4, INPUTS, dtype=torch.float64)
    one_by_one = torch.stack([correction_matrix(each, SCALE) for each in a])
    torch.testing.assert_close(correction_matrix(a, SCALE), one_by_one)
    assert correction_matrix(a.to("meta"), SCALE).shape == (EXPERTS, 4, 4)
    with pytest.raises(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        correction_matrix(torch.cat([a[:1], a[1:2, :1].expand(1, 4, INPUTS)]), SCALE)
