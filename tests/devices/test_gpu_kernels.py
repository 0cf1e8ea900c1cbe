"""Which kernels a cell's device, types and steps can have."""

from __future__ import annotations

from typing import Any

import pytest
from cells import TWIN
from tiny_cells import tiny_cell

from lorafa_prof.devices.gpus.kernels import check_kernels
from lorafa_prof.errors import UsageError


@pytest.mark.parametrize(
    ("kernels", "settings"),
    [
        ("eager", {}),
        ("fused", {"dtype": "fp64"}),
        ("fused", {"gpu": "p100-pcie-16gb", "device": "sim:p100-pcie-16gb"}),
        ("liger", {"device": TWIN}),
        ("liger", {"device": "cuda", "gpu": "v100-32gb", "dtype": "fp16"}),
        ("liger", {"device": TWIN, "phase": "eval"}),
        ("packed", {}),
        ("packed", {"dtype": "fp64"}),
        ("packed", {"device": TWIN}),
        ("compile", {}),
        ("compile", {"dtype": "fp64"}),
        ("compile", {"device": "cuda", "gpu": "h200"}),
    ],
)
def test_those_that_can_be(kernels: str, settings: dict[str, Any]) -> None:
    assert check_kernels(tiny_cell(kernels=kernels, **settings)) is None


@pytest.mark.parametrize(
    ("kernels", "settings", "message"),
    [
        (
            "liger",
            {},
            "eager, fused and compile are what the CPU has",
        ),
        ("liger", {"device": TWIN, "dtype": "fp64"}, "take fp32, bf16 and fp16 alone, not fp64"),
        ("liger", {"device": TWIN, "adapter_dtype": "fp64"}, "not fp64; set dtype or kernels to eager"),
        (
            "liger",
            {"device": "sim:p100-pcie-16gb", "gpu": "p100-pcie-16gb"},
            r"need Volta .* \(compute capability 6.0\)",
        ),
        (
            "compile",
            {"device": "cuda", "gpu": "p100-pcie-16gb"},
            "p100-pcie-16gb is none .* eager and fused run",
        ),
        ("packed", {"autocast": "bf16"}, "set dtype to bf16 and autocast to none"),
        ("packed", {"device": TWIN, "dtype": "fp64"}, "on a GPU they take fp32, bf16 and fp16 alone"),
        (
            "packed",
            {"device": "sim:p100-pcie-16gb", "gpu": "p100-pcie-16gb"},
            r"need Volta .* \(compute capability 6.0\)",
        ),
        ("compile", {"device": TWIN}, "cannot be predicted; run it on a GPU or CPU"),
        ("compile", {"phase": "eval"}, "only training steps of one length .* set phase to train"),
        ("compile", {"lengths": (16, 24)}, "only training steps of one length .* and seq to a number"),
    ],
)
def test_those_that_cannot(kernels: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^kernels '{kernels}': .*{message}") as caught:
        check_kernels(tiny_cell(kernels=kernels, **settings))
    assert caught.value.about == "kernels"
