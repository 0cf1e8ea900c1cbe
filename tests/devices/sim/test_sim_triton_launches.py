"""Triton's kernels on the twin: their wrappers run, nothing is launched, and unknown ones are named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.honesty import unchecked_operations
from lorafa_prof.devices.sim.triton_launches import is_read
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import LorafaProfError

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")


def _double(x: Any, out: Any, size: Any, BLOCK: tl.constexpr) -> None:
    places = tl.arange(0, BLOCK)
    tl.store(out + places, 2 * tl.load(x + places, mask=places < size), mask=places < size)


KERNEL = triton.jit(_double)
TUNED = triton.autotune(configs=[triton.Config({"BLOCK": 64})], key=["size"])(KERNEL)
CHOSEN = triton.heuristics({"BLOCK": lambda given: triton.next_power_of_2(given["size"])})(KERNEL)
NAME = f"triton {__name__}._double"


def doubled(kernel: Any, x: Tensor, **block: int) -> Tensor:
    out = torch.zeros_like(x)
    kernel[(1,)](x, out, x.numel(), **block)
    return out


def test_a_launch_allocates_nothing_and_is_named_among_what_is_unchecked() -> None:
    with Twin(GPUS["h200"]) as twin:
        x = torch.ones(1000, device="cuda")
        before = twin.allocator.allocated.current
        out = doubled(KERNEL, x, BLOCK=1024)
        assert out.is_cuda
        assert twin.allocator.allocated.peak == twin.allocator.allocated.current == before + 4096
        assert NAME in unchecked_operations(twin)


def test_what_a_kernel_may_write_is_not_known_any_more() -> None:
    with Twin(GPUS["h200"]):
        x = torch.ones(4, dtype=torch.int64, device="cuda")
        assert torch.zeros_like(x).sum().item() == 0
        with pytest.raises(LorafaProfError, match="no constant gives"):
            doubled(KERNEL, x, BLOCK=4).sum().item()


@pytest.mark.parametrize(("kernel", "name"), [(TUNED, f"tuned {NAME}"), (CHOSEN, NAME)])
def test_kernels_that_choose_their_settings(kernel: Any, name: str) -> None:
    with Twin(GPUS["h200"]) as twin:
        doubled(kernel, torch.ones(4, device="cuda"))
        assert name in unchecked_operations(twin)


def test_triton_is_as_it_was_when_the_twin_is_left() -> None:
    before = [vars(each)["run"] for each in (type(KERNEL), type(TUNED))]
    with Twin(GPUS["h200"]):
        assert [vars(each)["run"] for each in (type(KERNEL), type(TUNED))] != before
    assert [vars(each)["run"] for each in (type(KERNEL), type(TUNED))] == before


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("triton liger_kernel.ops.rope._triton_rope", True),
        ("triton lorafa_prof.layers.triton.rope", True),
        ("triton liger_kernel_of_mine.rope", False),
        ("tuned triton liger_kernel.ops.dyt._dyt_fwd_kernel", False),
        ("aten.mm.default", False),
    ],
)
def test_whose_wrappers_were_read(name: str, read: bool) -> None:
    assert is_read(name) is read


def test_without_triton_the_twin_is_entered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = "lorafa_prof.devices.sim.triton_launches.find_spec"
    monkeypatch.setattr(found, lambda name: None)
    with Twin(GPUS["h200"]):
        assert torch.ones(2, device="cuda").is_cuda
