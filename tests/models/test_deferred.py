"""Values that come later are those that come at once: bit by bit, from the same generator, one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from tiny_cells import FAMILIES, OTHER_FAMILIES
from torch import Tensor, nn

from lorafa_prof.cell import ModelChoice
from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.methods.base import METHODS, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.code import import_code
from lorafa_prof.models.deferred import Deferred
from lorafa_prof.models.quantization import NOT_QUANTIZED, Quantization
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.optim.choices import make_optimizer

CPU = torch.device("cpu")
FP8 = Quantization("fp8", False)


def build(
    name: str,
    method: str | None = None,
    quantization: Quantization = NOT_QUANTIZED,
    deferred: Deferred | None = None,
) -> nn.Module:
    """A base in bf16, with adapters in fp32."""
    resolved = resolve_model(ModelChoice(name=name))
    import_code(resolved)
    model = build_model(
        resolved,
        device=CPU,
        dtype=torch.bfloat16,
        attention="eager",
        checkpointing="none",
        quantization=quantization,
        deferred=deferred,
    )
    if method is None:
        return model
    chosen = METHODS[method]
    options = chosen.options.model_validate({"rank": 4, "targets": "all-linear"})
    return chosen.prepare(model, options, Setting(resolved.task, torch.float32, "adamw")).model


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)
    for path, module in model.named_modules():
        yield from ((f"{path}.{n}", v) for n, v in vars(module).items() if isinstance(v, Tensor))


def given(deferred: Deferred, named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of these tensors' values."""
    got: dict[str, Tensor] = {}
    takers: defaultdict[Any, list[Callable[[Tensor], None]]] = defaultdict(list)

    def take(name: str, whole: Tensor) -> None:
        got[name] = laters[name].part_of(whole).clone()

    laters = {name: deferred.later(tensor) for name, tensor in named.items() if tensor.is_meta}
    for name, later in laters.items():
        takers[later.version].append(partial(take, name))
    with torch.no_grad():
        deferred.give(takers)
    return {name: got.get(name, tensor) for name, tensor in named.items()}


def same_later(make: Callable[[Deferred | None], dict[str, Tensor]]) -> None:
    torch.manual_seed(0)
    at_once, then = make(None), torch.rand(3)
    torch.manual_seed(0)
    deferred = Deferred(CPU)
    with deferred:
        named = make(deferred)
    assert any(tensor.is_meta for tensor in named.values())
    torch.testing.assert_close(given(deferred, named), at_once, rtol=0, atol=0)
    assert torch.equal(torch.rand(3), then)


@pytest.mark.parametrize("name", [*FAMILIES, *OTHER_FAMILIES])
def test_each_family(name: str) -> None:
    same_later(lambda later: dict(tensors(build(name, deferred=later))))


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora"])
def test_each_method(method: str, name: str) -> None:
    same_later(lambda later: dict(tensors(build(name, method, deferred=later))))


def test_a_base_in_8_bit_floats() -> None:
    same_later(lambda later: dict(tensors(build("tiny-llama", "lora-fa", FP8, deferred=later))))


def drawn_twice() -> list[Tensor]:
    weights = [torch.empty(4, 6) for _ in range(2)]
    for _ in range(2):
        for weight in weights:
            weight.uniform_()
    return weights


def written_in_part() -> list[Tensor]:
    weight = torch.empty(4, 6).normal_()
    weight[1].zero_()
    weight.t()[:2].mul_(3)
    return [weight, weight[2:].clone(), weight.chunk(2, dim=1)[1]]


def computed_of_draws() -> list[Tensor]:
    weight = nn.init.trunc_normal_(torch.empty(4, 6))
    scale = torch.zeros_like(weight).add_(torch.ones(6)) + weight.new_full((4, 1), 2.0)
    return [weight, weight @ scale.t(), torch.linalg.norm(weight)]


def of_another_type() -> list[Tensor]:
    torch.set_default_dtype(torch.float64)
    try:
        return [torch.ones(3), torch.rand(4), torch.zeros(2).to(torch.bfloat16)]
    finally:
        torch.set_default_dtype(torch.float32)


def drawn_into_what_is_real() -> list[Tensor]:
    positions = torch.arange(4).float()
    first = torch.rand(2)
    positions.uniform_()
    return [first, positions, torch.rand(2)]


def like_what_is_real() -> list[Tensor]:
    real = torch.arange(4).float()
    drawn = nn.init.normal_(real.new_empty(3))
    return [drawn, torch.randn_like(real), real.new_ones(2)]


@pytest.mark.parametrize(
    "make",
    [
        like_what_is_real,
        drawn_twice,
        written_in_part,
        computed_of_draws,
        of_another_type,
        drawn_into_what_is_real,
    ],
    ids=lambda make: make.__name__,
)
def test_whatever_is_done_to_it(make: Callable[[], list[Tensor]]) -> None:
    same_later(lambda _: {str(i): tensor for i, tensor in enumerate(make())})


def test_what_is_no_float_is_real_and_can_be_asked() -> None:
    with Deferred(CPU):
        assert torch.arange(3).tolist() == [0, 1, 2]
        assert torch.ones(2, dtype=torch.bool).all()
        assert torch.linspace(0, 1, 3)[1].item() == 0.5
        assert torch.full((2,), 7)[0].item() == 7


def test_only_one_tensor_is_whole_at_a_time() -> None:
    deferred = Deferred(CPU)
    with StorageFollower("cpu") as follower, torch.no_grad():
        with deferred:
            model = build("tiny-llama", "lora", deferred=deferred)
        before = follower.live_bytes
        deferred.give({})
        largest = max(parameter.nbytes for parameter in model.parameters())
    assert largest <= follower.peak_bytes - before <= 1.1 * largest
    assert follower.live_bytes == before


def test_a_tensor_that_is_drawn_anew_is_not_whole_in_between() -> None:
    deferred = Deferred(CPU)
    with deferred:
        weights = drawn_twice()
    with StorageFollower("cpu") as follower:
        deferred.give({})
    assert follower.peak_bytes == weights[0].nbytes


def test_optimizers_are_fused_where_those_of_the_device_are() -> None:
    with Deferred(CPU):
        weight = nn.Parameter(torch.empty(2))
        assert weight.is_meta
        assert make_optimizer("adamw", [weight]).defaults["fused"] is True
