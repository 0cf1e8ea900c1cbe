"""Quantized layers against an H200's own: every request and every free, in their order."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ledger import TORCH, recording
from quantized_layers import KINDS, Case, cases, run
from torch import Tensor, nn

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.layers.quantized.eight_bit import StandInLinear8bit
from lorafa_prof.layers.quantized.four_bit import NestedCode, StandInLinear4bit
from lorafa_prof.models.undrawn import nothing_drawn

FILE = Path(__file__).parent / "data" / "quantized_layers_h200.json.xz"
GPUS_OWN: dict[str, Any] = json.loads(lzma.decompress(FILE.read_bytes()))["cases"]
H200 = Machine(GPUS["h200"].compute_capability, GPUS["h200"].multiprocessors, TORCH)


@pytest.mark.parametrize(("kind", "double"), KINDS)
def test_every_request_and_free_is_the_gpus(kind: str, double: bool) -> None:
    chosen = [case for case in cases() if (case.kind, case.double) == (kind, double)]
    assert len(chosen) == len(GPUS_OWN) / len(KINDS)
    parts: dict[str, list[list[Any]]] = {}
    code = NestedCode()

    def make(case: Case, weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
        if case.kind == "int8":
            return StandInLinear8bit(weight, bias)
        return StandInLinear4bit(weight, bias, double_quant=case.double, nested_code=code)

    with nothing_drawn(), recording(H200) as memory:

        @contextmanager
        def section(name: str) -> Iterator[None]:
            start = len(memory.events)
            yield
            parts[name] = [["alloc" if size > 0 else "free", abs(size)] for size in memory.events[start:]]

        for case in chosen:
            for _ in range(2):  # the first takes what is kept from then on, as in the recording
                parts.clear()
                run(case, "cuda", make, section)
            recorded = {name: GPUS_OWN[str(case)][name] for name in parts}
            assert parts == recorded, case
