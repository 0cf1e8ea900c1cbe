"""Record on a GPU what `test_quantized_layers` compares with: python record_quantized_layers.py OUT."""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from quantized_layers import Case, cases, run
from torch import Tensor, nn

from lorafa_prof.layers.quantized import by_bitsandbytes

_NAMES = {"alloc": "alloc", "free_requested": "free"}


def make(case: Case, weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
    if case.kind == "int8":
        return by_bitsandbytes.linear_8bit(weight, bias)
    return by_bitsandbytes.linear_4bit(weight, bias, kind=case.kind, double_quant=case.double)


def recorded(case: Case) -> dict[str, Any]:
    parts: dict[str, Any] = {}

    @contextmanager
    def section(name: str) -> Iterator[None]:
        torch.cuda.synchronize()
        torch.cuda.memory._record_memory_history(max_entries=100_000, context=None)
        yield
        torch.cuda.synchronize()
        trace = torch.cuda.memory._snapshot()["device_traces"][0]
        torch.cuda.memory._record_memory_history(enabled=None)
        parts[name] = [[_NAMES[e["action"]], e["size"]] for e in trace if e["action"] in _NAMES]

    run(case, "cuda", make, section)
    return parts


def main(out: Path) -> None:
    import bitsandbytes

    everything = {}
    for case in cases():
        recorded(case)  # the first of its kind makes what is kept
        everything[str(case)] = recorded(case)
    about = {
        "torch": torch.__version__,
        "bitsandbytes": bitsandbytes.__version__,
        "gpu": torch.cuda.get_device_name(),
    }
    out.write_bytes(lzma.compress(json.dumps({"about": about, "cases": everything}).encode()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
