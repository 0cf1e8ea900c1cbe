"""Operations of our own: each has a kernel that takes its arguments, and does nothing on shapes."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
import torch

import lorafa_prof.layers.quantized.fp8_products
import lorafa_prof.models.packed  # noqa: F401
from lorafa_prof.layers.operations import KERNELS, launching

NAMES = sorted(KERNELS)


def test_all_that_have_a_kernel_are_here() -> None:
    assert {
        "rms_norm",
        "rotate_",
        "gated",
        "cross_entropy_",
        "add_low_rank",
        "copy_blocks",
        "quantize_rows",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_kernel_takes_its_arguments(name: str) -> None:
    pytest.importorskip("triton")
    file, function = KERNELS[name].split(".")
    kernel = getattr(import_module(f"lorafa_prof.layers.triton_kernels.{file}"), function)
    arguments = getattr(torch.ops.lorafa_prof, name).default._schema.arguments
    assert list(inspect.signature(kernel).parameters) == [argument.name for argument in arguments]


def test_a_launch_reaches_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    from lorafa_prof.layers.triton_kernels import gated

    came: list[tuple[object, ...]] = []
    monkeypatch.setattr(gated, "forward", lambda *arguments: came.append(arguments))
    launch = launching("gated.forward")
    launch(1, 2, 3)
    launch(4)
    assert came == [(1, 2, 3), (4,)]
