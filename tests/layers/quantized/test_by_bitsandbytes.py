"""Adapters beside bitsandbytes' own layers, and stand-ins beside them: needs bitsandbytes, not a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear
from lorafa_prof.layers.quantized import by_bitsandbytes
from lorafa_prof.layers.quantized.eight_bit import StandInLinear8bit
from lorafa_prof.layers.quantized.four_bit import NestedCode, StandInLinear4bit
from lorafa_prof.layers.quantized.state import is_quantized, number_of_weights, statistics

KINDS = [("nf4", False), ("nf4", True), ("fp4", False), ("int8", False)]
kinds = pytest.mark.parametrize(("kind", "double"), KINDS)
needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")


def quantized(kind: str, double: bool, weight: Tensor, bias: nn.Parameter | None = None) -> Any:
    if kind == "int8":
        return by_bitsandbytes.linear_8bit(weight, bias)
    return by_bitsandbytes.linear_4bit(weight, bias, kind=kind, double_quant=double)


def stand_in(kind: str, double: bool, weight: Tensor) -> nn.Module:
    if kind == "int8":
        return StandInLinear8bit(weight, None)
    return StandInLinear4bit(weight, None, double_quant=double, nested_code=NestedCode())


def dense_of(layer: Any, kind: str) -> Tensor:
    if kind == "int8":
        state = layer.weight if layer.weight.CB is not None else layer.state
        dense: Tensor = state.CB.float() * state.SCB[:, None] / 127
        return dense
    import bitsandbytes

    unpacked: Tensor = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return unpacked


def test_its_line_on_a_kernel_that_a_hub_has_is_not_printed_and_others_are(tmp_path: Path) -> None:
    package = tmp_path / "bitsandbytes"
    (package / "backends" / "cpu").mkdir(parents=True)
    for folder in (package, package / "backends", package / "backends" / "cpu"):
        (folder / "__init__.py").touch()
    (package / "__init__.py").write_text("from bitsandbytes.backends.cpu import ops\n")
    speaking = "import logging\nlog = logging.getLogger(__name__)\n"
    (package / "backends" / "cpu" / "ops.py").write_text(
        f"{speaking}log.warning('Failed to load')\nlog.error('but this')\n"
    )
    code = "from lorafa_prof.layers.quantized.by_bitsandbytes import require_bitsandbytes as r; r()"
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1:] == ["but this"]
    assert "Failed to load" not in done.stderr


@needs_bitsandbytes
@kinds
@pytest.mark.parametrize("adapted", [LoraLinear, LoraFaLinear])
def test_results_and_gradients_are_those_of_the_unpacked_weight(
    kind: str, double: bool, adapted: Any
) -> None:
    torch.manual_seed(0)
    base = quantized(
        kind, double, 0.05 * torch.randn(96, 64), nn.Parameter(torch.randn(96), requires_grad=False)
    )
    dense, bias = dense_of(base, kind), base.bias.clone()
    layer = adapted(base, rank=4, scale=2.0, dropout=0.0, adapter_dtype=torch.float32)
    nn.init.normal_(layer.lora_B)
    x, grad = torch.randn(3, 5, 64, requires_grad=True), torch.randn(3, 5, 96)
    layer(x).backward(grad)
    a, b = layer.lora_A.detach(), layer.lora_B.detach().clone().requires_grad_(True)
    other = x.detach().clone().requires_grad_(True)
    expected = other @ dense.t() + bias + 2.0 * (other @ a.t()) @ b.t()
    expected.backward(grad)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(x.grad, other.grad, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(layer.lora_B.grad, b.grad, rtol=1e-5, atol=1e-4)


@needs_bitsandbytes
@kinds
def test_a_stand_in_holds_what_bitsandbytes_holds(kind: str, double: bool) -> None:
    real = quantized(kind, double, torch.randn(96, 64, dtype=torch.bfloat16))
    ours = stand_in(kind, double, torch.empty(96, 64, dtype=torch.bfloat16, device="meta"))

    def forms(layer: nn.Module) -> list[Any]:
        return [(t.shape, t.dtype) for t in (*layer.parameters(), *statistics(layer))]

    # An 8-bit weight is in bitsandbytes' weight and, from the first forward on, in its state.
    assert {*forms(real)} == {*forms(ours)}
    assert is_quantized(real)
    assert is_quantized(ours)
    assert number_of_weights(real.weight) == number_of_weights(ours.weight) == 96 * 64


@kinds
def test_without_bitsandbytes_one_line_says_what_to_install(
    kind: str, double: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UsageError, match=r"pip install 'lorafa-prof\[gpu\]'"):
        quantized(kind, double, torch.randn(8, 64))
