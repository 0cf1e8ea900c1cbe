"""What a quantized base costs in gradient error: B's gradients beside those over the same base in 16 bits.

    python benchmarks/gradient_error.py [--model MODEL] [--batch N] [--seq N] [--rank N] [--method METHOD]
                                        [--device DEVICE] [--output FILE]

One model of random weights, one batch, adapters on all linear layers, their B's drawn so that what an adapter
adds is about a tenth of its layer's product. Then the base of each adapted layer is put in 8-bit floats, and
in bitsandbytes' int8 and nf4 where that is installed, from the same dense weights. For each kind and each
layer, with g the gradient of B over that base and e over the dense one:

    relative_error = |g − e| / |e|        cosine = g · e / (|g| |e|)

`make bench-gradient-error` writes that of Llama-2-7B, batch 8 × 1024, rank 64, to reports/gradient-error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

from lorafa_prof.cell import ModelChoice
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.quantized import by_bitsandbytes
from lorafa_prof.layers.quantized.fp8 import Fp8Linear
from lorafa_prof.methods.base import METHODS, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.spreadsheet import csv_text
from lorafa_prof.scenario.options import validated_options

MakeLayer = Callable[[Tensor, nn.Parameter | None], nn.Module]
#: Of what is drawn for B; A is drawn as ever.
DEVIATION_OF_B = 0.02


@dataclass(frozen=True)
class LayerError:
    """How far B's gradient of one layer is from that over the dense base."""

    quantization: str
    layer: str
    relative_error: float
    cosine: float


def kinds_here() -> dict[str, MakeLayer]:
    """Return what makes a quantized layer of a dense weight [out, in] and a bias, by the kind's name."""
    kinds: dict[str, MakeLayer] = {"fp8": Fp8Linear}
    if find_spec("bitsandbytes") is not None:
        kinds["int8"] = by_bitsandbytes.linear_8bit
        kinds["nf4"] = partial(by_bitsandbytes.linear_4bit, kind="nf4", double_quant=False)
    return kinds


def adapted_model(
    name: str, batch: int, seq: int, rank: int, method: str, device: torch.device, dtype: torch.dtype
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a model with adapters on all linear layers, whose B's are not zero, and a batch."""
    resolved = resolve_model(ModelChoice(name=name))
    model = build_model(resolved, device=device, dtype=dtype, attention="sdpa", checkpointing="none")
    entry = METHODS[method]
    options = entry.options.model_validate(validated_options(entry, {"targets": "all-linear", "rank": rank}))
    prepared = entry.prepare(model, options, Setting(resolved.task, dtype, "adamw"))
    for adapter in adapters(prepared.model).values():
        nn.init.normal_(adapter.lora_B, std=DEVIATION_OF_B)
    inputs = make_inputs(resolved, batch=batch, seq=seq, device=device, seed=0, dtype=dtype)
    return prepared.model, dict(inputs)


def adapters(model: nn.Module) -> dict[str, LowRankLinear]:
    """Return the adapted linear layers by path."""
    return {path: module for path, module in model.named_modules() if isinstance(module, LowRankLinear)}


def errors(
    model: nn.Module, inputs: Mapping[str, Any], kinds: Mapping[str, MakeLayer]
) -> Iterator[LayerError]:
    """Yield the error of every adapted layer, in the model's order, for one kind after the other."""
    exact = gradients(model, inputs)
    dense = {path: adapter.base for path, adapter in adapters(model).items()}
    for kind, make in kinds.items():
        for path, adapter in adapters(model).items():
            base = cast(Any, dense[path])
            adapter.base = make(base.weight.data, base.bias).requires_grad_(False)
        got = gradients(model, inputs)
        for path, adapter in adapters(model).items():
            adapter.base = dense[path]
        for path, of_dense in exact.items():
            difference, size = (got[path] - of_dense).norm(), of_dense.norm()
            cosine = torch.dot(got[path].flatten(), of_dense.flatten()) / (got[path].norm() * size)
            yield LayerError(kind, path, float(difference / size), float(cosine))


def gradients(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the gradient of each B by its layer's path, in float32, of one step without an update."""
    model.zero_grad(set_to_none=True)
    model(**inputs).loss.backward()
    found = {path: cast(Tensor, adapter.lora_B.grad).float() for path, adapter in adapters(model).items()}
    model.zero_grad(set_to_none=True)
    return found


def summaries(rows: Sequence[LayerError]) -> Iterator[str]:
    """Yield a line for each kind: the median and the worst over all layers."""
    for kind in dict.fromkeys(row.quantization for row in rows):
        of_kind = [row for row in rows if row.quantization == kind]
        relative, cosines = [row.relative_error for row in of_kind], [row.cosine for row in of_kind]
        worst = max(of_kind, key=lambda row: row.relative_error)
        yield (
            f"{kind}: relative error {median(relative):.4f} in the median of {len(of_kind)} layers, "
            f"{worst.relative_error:.4f} at most ({worst.layer}); "
            f"cosine {median(cosines):.5f}, {min(cosines):.5f} at least"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a line for each kind, write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="llama-2-7b")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--method", choices=["lora", "lora-fa"], default="lora-fa")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--output", type=Path, default=Path("reports/gradient-error/llama-2-7b.csv"))
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no GPU here: --device cpu runs small models")
    kinds = kinds_here()
    if "nf4" not in kinds:
        print("bitsandbytes is not installed: fp8 alone")
    model, inputs = adapted_model(
        asked.model,
        asked.batch,
        asked.seq,
        asked.rank,
        asked.method,
        torch.device(asked.device),
        torch.bfloat16,
    )
    rows = list(errors(model, inputs, kinds))
    setting = (asked.model, asked.batch, asked.seq, asked.method, asked.rank)
    names = ("model", "batch", "seq", "method", "rank", *(field.name for field in fields(LayerError)))
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(csv_text([names, *((*setting, *astuple(row)) for row in rows)]))
    print("\n".join(summaries(rows)))


if __name__ == "__main__":
    main()
