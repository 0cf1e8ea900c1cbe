"""Code inside a twin sees a CUDA device, on a build of PyTorch with or without CUDA."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from ledger import H100, T4, on_meta, recording
from torch import Tensor, nn
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from lorafa_prof.devices.sim.paths import cuda_paths


def on_cuda(x: Tensor) -> bool:
    return x.is_cuda and x.device == torch.device("cuda", 0) and not x.is_meta


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(3, device="cuda"),
        lambda: torch.zeros(3).to("cuda"),
        lambda: torch.zeros(3).cuda(),
        lambda: torch.tensor([1.0, 2.0], device="cuda"),
        lambda: torch.as_tensor([1, 2], device="cuda:0"),
        lambda: torch.arange(4, device=torch.device("cuda", 0))[[0, 2]],
        lambda: nn.Linear(2, 3, device="cuda").weight.data,
        lambda: nn.Linear(2, 3).cuda().bias,
        lambda: copy.deepcopy(torch.zeros(3, device="cuda")),
        lambda: torch.ones(3, device="cuda").to(torch.bfloat16),
    ],
)
def test_a_tensor_is_on_cuda_and_has_its_block(make: Any) -> None:
    with recording() as memory:
        x = make()
        assert type(x) in (Tensor, nn.Parameter)
        assert on_cuda(x)
        assert x.untyped_storage().nbytes() in memory.events
        assert x.data_ptr()


def test_what_a_device_context_makes_is_on_cuda_and_has_its_block() -> None:
    with recording() as memory, torch.device("cuda"):
        made = [torch.tensor([1.5, 2.5]), torch.arange(5), nn.Parameter(torch.empty(7))]
        assert all(on_cuda(x) for x in made)
        assert memory.events == [8, 40, 28]


def test_afterwards_no_constructor_is_another() -> None:
    with recording(), torch.device("cuda"):
        torch.tensor([1.0])
    assert torch.tensor in _device_constructors()
    with torch.device("cpu"):
        assert torch.tensor([1.0]).device.type == "cpu"


def test_afterwards_there_is_no_cuda_again() -> None:
    answers = (torch.cuda.is_available(), torch.cuda.device_count(), torch._C._only_lift_cpu_tensors())
    with recording():
        assert torch.cuda.is_available()
        assert torch.accelerator.current_accelerator() == torch.device("cuda")
        on_meta(3, grad=True).sum().backward()
    assert answers == (
        torch.cuda.is_available(),
        torch.cuda.device_count(),
        torch._C._only_lift_cpu_tensors(),
    )
    if not torch.backends.cuda.is_built():
        with pytest.raises(AssertionError, match="not compiled with CUDA"):
            torch.empty(3, device="cuda")
        assert torch.accelerator.current_accelerator() is None


def test_torch_cuda_tells_of_the_machine() -> None:
    with cuda_paths(T4):
        assert torch.cuda.get_device_capability() == (7, 5)
        assert torch.cuda.is_bf16_supported(including_emulation=False) is False
    with cuda_paths(H100):
        assert torch.cuda.is_bf16_supported(including_emulation=False) is True
        assert (torch.cuda.device_count(), torch.cuda.current_device()) == (1, 0)


class Casts(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.casts: list[tuple[torch.Size, torch.dtype]] = []
        self.products: list[torch.dtype] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._to_copy.default:
            self.casts.append((args[0].shape, kwargs["dtype"]))
        if func is torch.ops.aten.mm.default:
            self.products.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_each_weight_once_and_keeps_the_copy(dtype: torch.dtype) -> None:
    with recording() as memory:
        linear, x, seen = nn.Linear(4, 8, bias=False, device="cuda"), on_meta(3, 4), Casts()
        del memory.events[:]
        with seen, torch.autocast("cuda", dtype=dtype):
            y, z = linear(x), linear(x)
            assert (y.dtype, z.dtype) == (dtype, dtype)
        assert seen.casts == [(linear.weight.shape, dtype), (x.shape, dtype), (x.shape, dtype)]
        assert memory.events.count(64) == 1
        with seen:
            (y + z).sum().backward()
        assert set(seen.products) == {dtype}
        assert linear.weight.grad is not None
        assert linear.weight.grad.dtype == torch.float32


def test_softmax_and_losses_are_float32_under_autocast() -> None:
    with recording(), torch.autocast("cuda", dtype=torch.bfloat16):
        x = on_meta(3, 4, dtype=torch.bfloat16)
        assert x.softmax(-1).dtype == torch.float32
        assert nn.functional.mse_loss(x, x).dtype == torch.float32
        assert nn.functional.gelu(x).dtype == torch.bfloat16


def test_attention_under_autocast_is_in_its_type() -> None:
    with recording(), torch.autocast("cuda", dtype=torch.bfloat16):
        q = on_meta(2, 4, 64, 64, grad=True)
        out = nn.functional.scaled_dot_product_attention(q, q, q)
        assert out.dtype == torch.bfloat16
        assert "Cudnn" in type(out.grad_fn).__name__


class Seen(torch.autograd.Function):
    """Doubles, and notes what its forward and backward see."""

    seen: list[tuple[str, str, bool]] = []

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        Seen.seen.append(("forward", x.device.type, torch.is_autocast_enabled(x.device.type)))
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        Seen.seen.append(("backward", grad.device.type, grad.is_cuda))
        return grad * 2


@pytest.mark.parametrize("reentrant", [True, False])
def test_backward_and_what_checkpointing_recomputes_see_it_too(reentrant: bool) -> None:
    Seen.seen.clear()
    with recording():
        linear, x = nn.Linear(4, 4, device="cuda"), on_meta(3, 4, grad=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            y = checkpoint(lambda v: linear(Seen.apply(v)), x, use_reentrant=reentrant)
        y.sum().backward()
        assert on_cuda(x.grad)
    assert Seen.seen == [("forward", "cuda", True)] * 2 + [("backward", "cuda", True)]


def test_torchscript_functions_run() -> None:
    @torch.jit.script
    def scaled(x: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x, 0.5) * y.to(x.dtype)

    with recording() as memory:
        out = scaled(on_meta(8), on_meta(8))
        assert on_cuda(out)
        assert 8 in memory.events  # the fused kernel's mask


def test_an_out_argument_is_resized() -> None:
    with recording():
        out = on_meta(0)
        torch.add(on_meta(3, 4), 1, out=out)
        assert out.shape == (3, 4)


def test_meta_is_meta_on_the_twin_too() -> None:
    with recording() as memory:
        x = torch.empty(3, device="meta") + 1
        assert x.is_meta
        assert memory.events == []


def test_host_tensors_are_written_each_time() -> None:
    with recording():
        x = torch.zeros(3)
        x.add_(1)
        x.add_(1)
        assert x.tolist() == [2, 2, 2]
