"""Which devices, types and GPUs a cell's attention is for."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.devices.gpus import attention
from lorafa_prof.devices.gpus.attention import check_attention
from lorafa_prof.errors import UsageError


def check(name: str, gpu: str = "h100-80gb", device: str | None = None, **settings: Any) -> None:
    given = {"dtype": "bf16", "device": device or f"sim:{gpu}", "gpu": gpu, **settings}
    check_attention(tiny_cell(attention=name, **given))


@pytest.mark.parametrize(("name", "gpu", "needed"), [
    ("flash_attention_2", "t4", "Ampere or later, and t4 is none .compute capability 7.5"),
    ("flash_attention_3", "a100-80gb", "Hopper, and a100-80gb is none .compute capability 8.0"),
    ("flash_attention_3", "b200", "Hopper, and b200 is none .compute capability 10.0"),
])  # fmt: skip
def test_gpus_of_other_generations_are_refused(name: str, gpu: str, needed: str) -> None:
    with pytest.raises(UsageError, match=f"attention '{name}': its kernels are for {needed}") as error:
        check(name, gpu)
    assert error.value.about == "attention"


@pytest.mark.parametrize(("name", "gpu"), [
    ("flash_attention_2", "a100-80gb"), ("flash_attention_2", "b200"), ("flash_attention_2", "rtx-4090"),
    ("flash_attention_3", "h100-80gb"), ("sdpa", "t4"), ("eager", "t4"),
])  # fmt: skip
def test_others_are_not(name: str, gpu: str) -> None:
    complaints = []
    try:
        check(name, gpu)
    except UsageError as error:
        complaints.append(str(error))
    assert complaints == []


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3"])
def test_they_take_16_bits_alone(name: str) -> None:
    for dtype in ("fp32", "fp64"):
        with pytest.raises(
            UsageError, match=f"its kernels take bf16 and fp16 alone, not {dtype}; set dtype or"
        ):
            check(name, dtype=dtype)
    check(name, dtype="fp16")
    check(name, dtype="fp32", autocast="bf16")


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3"])
def test_there_is_none_on_a_cpu(name: str) -> None:
    with pytest.raises(UsageError, match="its kernels run on GPUs alone; sdpa is what the CPU has"):
        check_attention(tiny_cell(attention=name, dtype="bf16"))


def test_a_gpu_needs_the_package_and_a_twin_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(attention, "check_installed", asked.append)
    check("flash_attention_2")
    assert asked == []
    check("flash_attention_2", device="cuda")
    assert asked == ["flash_attention_2"]
