"""Where PyTorch asks for the device above the dispatcher, the twin goes CUDA's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from ledger import A100, B200, H100, L4, P100, RTX_5090, T4, on_meta, recording
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.utils._python_dispatch import TorchDispatchMode

from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.devices.sim.paths import cuda_paths

BF16, FP16, FP32, FP64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
BACKENDS = {
    "_scaled_dot_product_cudnn_attention": "cudnn",
    "_scaled_dot_product_flash_attention": "flash",
    "_scaled_dot_product_efficient_attention": "efficient",
    "_safe_softmax": "math",
}


class Backends(TorchDispatchMode):
    """Writes down which of the attention kernels run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in BACKENDS:
            self.names.append(BACKENDS[name])
        return func(*args, **(kwargs or {}))


def heads_first(heads: int, length: int, width: int, dtype: torch.dtype, layout: str = "bhsd") -> Tensor:
    if layout == "bhsd":
        return on_meta(2, heads, length, width, dtype=dtype)
    if layout == "bshd":
        return on_meta(2, length, heads, width, dtype=dtype).transpose(1, 2)
    if layout == "packed":
        return on_meta(2, length, 3, heads, width, dtype=dtype)[:, :, 0].transpose(1, 2)
    assert layout == "bhds"
    return on_meta(2, heads, width, length, dtype=dtype).transpose(2, 3)


def backend(
    machine: Machine,
    dtype: torch.dtype = BF16,
    *,
    heads: int = 4,
    of_key: int | None = None,
    length: int = 64,
    keys: int | None = None,
    width: int = 64,
    of_value: int | None = None,
    layout: str = "bhsd",
    mask: Callable[[], Tensor] | None = None,
    **options: Any,
) -> str:
    """Which kernel attends; gradients are wanted."""
    seen = Backends()
    with recording(machine):
        query = heads_first(heads, length, width, dtype, layout).requires_grad_()
        key = heads_first(of_key or heads, keys or length, width, dtype, layout)
        value = heads_first(of_key or heads, keys or length, of_value or width, dtype, layout)
        with seen:
            out = F.scaled_dot_product_attention(query, key, value, mask() if mask else None, **options)
    assert out.shape == (2, heads, length, of_value or width)
    (name,) = seen.names
    return name


def repr_of(value: object) -> str:
    """A test's name: what is tried, not what is expected of all the GPUs."""
    return "" if isinstance(value, list) else str(value)


def on(cudnn: str, ampere: str, turing: str) -> list[tuple[Machine, str]]:
    """What is taken where cuDNN is preferred, where flash attention runs, and on older GPUs."""
    newest = [(H100, cudnn), (B200, cudnn)]
    return [*newest, (A100, ampere), (L4, ampere), (RTX_5090, ampere), (T4, turing)]


# sdp_utils.cpp of PyTorch 2.11: can_use_cudnn_attention, can_use_flash_attention, can_use_mem_efficient_
# attention.
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (BF16, on("cudnn", "flash", "math")),
        (FP16, on("cudnn", "flash", "efficient")),
        (FP32, on("efficient", "efficient", "efficient")),
        (FP64, on("math", "math", "math")),
    ],
    ids=repr_of,
)
def test_by_dtype(dtype: torch.dtype, expected: list[tuple[Machine, str]]) -> None:
    assert [(machine, backend(machine, dtype)) for machine, _ in expected] == expected


def test_before_tensor_cores() -> None:
    assert [backend(P100, dtype) for dtype in (FP16, FP32, BF16)] == ["efficient", "efficient", "math"]
    # minimum_gemm_alignment: no multiple of anything is asked for.
    assert backend(P100, FP16, width=20) == "efficient"


@pytest.mark.parametrize(
    ("dtype", "width", "expected"),
    [
        (BF16, 8, on("cudnn", "flash", "math")),
        (BF16, 20, on("flash", "flash", "math")),  # padded to 24
        (BF16, 128, on("cudnn", "flash", "math")),
        (BF16, 264, on("efficient", "efficient", "math")),
        (BF16, 260, on("math", "math", "math")),
        (FP16, 20, on("flash", "flash", "math")),
        (FP32, 20, on("efficient", "efficient", "efficient")),
        (FP32, 18, on("math", "math", "efficient")),  # float32 has no tensor cores before Ampere
    ],
    ids=repr_of,
)
def test_by_head_size(dtype: torch.dtype, width: int, expected: list[tuple[Machine, str]]) -> None:
    assert [(machine, backend(machine, dtype, width=width)) for machine, _ in expected] == expected


@pytest.mark.parametrize(("width", "dropout"), [(160, 0.1), (192, 0.0), (256, 0.0)])
def test_heads_that_train_with_flash_on_every_gpu_from_ampere_on(width: int, dropout: float) -> None:
    for machine in (A100, L4, RTX_5090):
        assert backend(machine, width=width, dropout_p=dropout) == "flash"


@pytest.mark.parametrize(
    ("width", "dropout", "expected"),
    [(200, 0.0, "efficient"), (256, 0.1, "efficient")],
)
def test_wide_heads_train_with_flash_on_some_gpus_only(width: int, dropout: float, expected: str) -> None:
    # check_requires_grad_and_head_dim_gt192_constraints_on_sm86_89_or_120
    assert backend(A100, width=width, dropout_p=dropout) == "flash"
    assert backend(L4, width=width, dropout_p=dropout) == expected
    assert backend(RTX_5090, width=width, dropout_p=dropout) == expected


def test_cudnn_takes_wider_heads_on_hopper_than_on_blackwell() -> None:
    # check_cudnn_tensor_shapes: head_dim_limit is 256 on 9.0 with cuDNN 9.10 and later.
    assert [backend(H100, width=width) for width in (136, 192, 256)] == ["cudnn"] * 3
    assert [backend(B200, width=width) for width in (136, 192, 256)] == ["flash"] * 3


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 64), on("cudnn", "efficient", "math")),
        ((2, 1, 64, 64), on("cudnn", "efficient", "math")),
        ((2, 4, 64, 64), on("cudnn", "efficient", "math")),
        ((2, 1, 1, 64), on("cudnn", "efficient", "math")),
        ((1, 1, 64, 64), on("cudnn", "efficient", "math")),
    ],
    ids=repr_of,
)
@pytest.mark.parametrize("kind", ["bool", "added"])
def test_by_mask(shape: tuple[int, ...], expected: list[tuple[Machine, str]], kind: str) -> None:
    def mask() -> Tensor:
        return on_meta(*shape, dtype=torch.bool if kind == "bool" else BF16)

    assert [(machine, backend(machine, mask=mask)) for machine, _ in expected] == expected


def test_a_mask_that_is_trained_is_not_for_cudnn() -> None:
    def mask() -> Tensor:
        return on_meta(2, 4, 64, 64, dtype=BF16, grad=True)

    assert [backend(machine, mask=mask) for machine in (H100, A100)] == ["efficient", "efficient"]


def test_a_mask_with_strides_of_its_own_is_for_products() -> None:
    def mask() -> Tensor:
        return on_meta(2, 4, 64, 64, dtype=BF16).transpose(2, 3)

    assert [backend(machine, mask=mask) for machine in (H100, A100)] == ["math", "math"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"is_causal": True}, on("cudnn", "flash", "math")),
        ({"is_causal": True, "length": 32}, on("cudnn", "efficient", "math")),
        ({"dropout_p": 0.1}, on("cudnn", "flash", "math")),
        ({"scale": 2.0}, on("cudnn", "flash", "math")),
    ],
    ids=repr_of,
)
def test_by_options(options: dict[str, Any], expected: list[tuple[Machine, str]]) -> None:
    found = [(machine, backend(machine, **{"keys": 64, **options})) for machine, _ in expected]
    assert found == expected


@pytest.mark.parametrize(
    ("dtype", "mask", "expected"),
    [
        (BF16, None, on("cudnn", "flash", "math")),
        (BF16, (64, 64), on("cudnn", "math", "math")),
        (FP32, None, on("math", "math", "math")),  # efficient attention does not know groups
        (FP16, None, on("cudnn", "flash", "math")),
    ],
    ids=repr_of,
)
def test_grouped_heads(dtype: torch.dtype, mask: Any, expected: list[tuple[Machine, str]]) -> None:
    added = (lambda: on_meta(*mask, dtype=dtype)) if mask else None
    found = [(m, backend(m, dtype, of_key=2, mask=added, enable_gqa=True)) for m, _ in expected]
    assert found == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"of_value": 32}, on("cudnn", "efficient", "math")),
        ({"keys": 1}, on("flash", "flash", "math")),
        ({"length": 1, "keys": 64}, on("cudnn", "flash", "math")),
        ({"layout": "bshd"}, on("cudnn", "flash", "math")),
        ({"layout": "packed"}, on("cudnn", "flash", "math")),
        ({"layout": "bhds"}, on("math", "math", "math")),
    ],
    ids=repr_of,
)
def test_by_shape_and_strides(options: dict[str, Any], expected: list[tuple[Machine, str]]) -> None:
    assert [(machine, backend(machine, **options)) for machine, _ in expected] == expected


def test_one_query_with_dropout_is_not_for_cudnn() -> None:
    assert backend(H100, length=1, keys=64, dropout_p=0.1) == "flash"


def test_three_dimensions_are_for_products() -> None:
    seen = Backends()
    with recording(H100), seen:
        x = on_meta(4, 64, 64, dtype=BF16)
        F.scaled_dot_product_attention(x, x, x)
    assert seen.names == ["math"]


class TestDropout:
    def test_it_is_one_kernel_with_a_mask_of_bytes(self) -> None:
        with recording() as memory:
            x = on_meta(6, 5, dtype=BF16)
            out = F.dropout(x, 0.1)
            assert memory.events == [60, 30, 60, -30]  # nothing needs the mask: no gradient
            del out

    def test_the_mask_lives_until_backward(self) -> None:
        with recording() as memory:
            x = on_meta(6, 5, grad=True)
            loss = F.dropout(x, 0.1).sum()
            assert memory.events == [120, 30, 120, 4, -120]
            loss.backward()
            assert -30 in memory.events

    @pytest.mark.parametrize(
        "way",
        [
            lambda x: F.dropout(x, 0.5),
            lambda x: torch.nn.Dropout(0.5)(x),
            lambda x: torch.nn.functional.dropout(x, p=0.5, training=True),
        ],
    )
    def test_however_it_is_called(self, way: Any) -> None:
        with recording() as memory:
            way(on_meta(8))
            assert 8 in memory.events

    @pytest.mark.parametrize(
        ("options", "events"),
        [
            ({"p": 0.5, "training": False}, [32]),
            ({"p": 0.0}, [32]),
            ({"p": 0.5, "inplace": True}, [32, 32]),
        ],
        ids=str,
    )
    def test_where_it_is_not_fused(self, options: dict[str, Any], events: list[int]) -> None:
        # Dropout.cpp, is_fused_kernel_acceptable; the mask of the other way has the input's type.
        with recording() as memory:
            x = on_meta(8)
            out = F.dropout(x, **options)
            assert [event for event in memory.events if event > 0] == events
            del out


def test_a_number_that_is_set_is_none_of_the_gpus() -> None:
    with recording() as memory:
        x = on_meta(8)
        x[2:4] = 0.5
        assert memory.events == [32]


REPLACED = [(torch.cuda, "is_available"), (torch.cuda, "current_device")]


def originals() -> list[Any]:
    return [getattr(owner, name) for owner, name in REPLACED]


def test_afterwards_pytorch_is_as_it_was() -> None:
    before = originals()
    with cuda_paths(H100):
        assert not any(now is then for now, then in zip(originals(), before, strict=True))
    assert all(now is then for now, then in zip(originals(), before, strict=True))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_so_it_is_after_an_error(error: type[BaseException]) -> None:
    before = originals()
    with pytest.raises(error), cuda_paths(H100):
        raise error
    assert all(now is then for now, then in zip(originals(), before, strict=True))


def test_host_tensors_go_pytorchs_own_way() -> None:
    x = torch.randn(2, 2, 8, 4)
    expected = F.scaled_dot_product_attention(x, x, x)
    with recording() as memory:
        assert torch.equal(F.scaled_dot_product_attention(x, x, x), expected)
        assert torch.equal(F.dropout(x, 0.0), x)
        assert torch.tensor([1.5]).tolist() == [1.5]
        assert torch.as_tensor(x) is x
        y = x.clone()
        y[0] = 0
        assert y[0].sum() == 0
    assert memory.events == []


@pytest.mark.parametrize("chosen", ["foreach", "fused"])
def test_optimizers_take_the_kernels_they_would_take_on_a_gpu(chosen: str) -> None:
    class Names(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.seen: set[str] = set()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen.add(func._schema.name.removeprefix("aten::"))
            return func(*args, **(kwargs or {}))

    names = Names()
    with recording(), names:
        weight = on_meta(3, grad=True)
        weight.grad = on_meta(3)
        torch.optim.AdamW([weight], **{chosen: True}).step()
    assert any(name.startswith(f"_{chosen}_") for name in names.seen)


def test_backends_here_are_pytorchs() -> None:
    known = {name.lower().removesuffix("_attention") for name in SDPBackend.__members__}
    assert set(BACKENDS.values()) <= known


def test_torchscript_compiles_nothing_for_a_gpu_that_is_not_there() -> None:
    optimizes: Any = torch._C._get_graph_executor_optimize
    before = optimizes()
    with cuda_paths(H100):
        assert not optimizes()
    assert optimizes() is before
