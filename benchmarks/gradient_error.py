"""What a quantized base costs in gradient error: adapters' gradients over trained weights.

    python benchmarks/gradient_error.py --text FILE... [--width N] [--layers N] [--steps N] [--rank N]
                                        [--seed N] [--device DEVICE] [--output FILE] ...

A Llama is trained from scratch on the text (`trained_llama.py`; with `--steps 0` its weights stay random),
then adapters on all its linear layers for some steps over the frozen weights, in float32. From there
gradients of batches of text that was held out are formed: in float32, and with everything in bf16 over a base
in bf16, in 8-bit floats, and in bitsandbytes' int8 and nf4 where that is installed, each quantized from the
weights in bf16. For each base, layer and matrix that trains, with g the gradients of all batches over that
base as one vector, and e those in float32:

    relative_error = |g − e| / |e|        cosine = g · e / (|g| |e|)

With `lora` they are A's and B's, with `lora-fa` B's after their correction, as the optimizer gets them. The
layer `all` is all layers as one vector. `make bench-gradient-error TEXT=...` writes reports/gradient-error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from trained_llama import Inputs, batches, llama, prepared, read_text, run_steps, trained_weights

from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LowRankLinear
from lorafa_prof.layers.quantized import by_bitsandbytes
from lorafa_prof.layers.quantized.fp8 import Fp8Linear
from lorafa_prof.methods.base import Prepared
from lorafa_prof.optim.lora_fa import LoraFaCorrection
from lorafa_prof.results.spreadsheet import csv_text

MakeBase = Callable[[Tensor, nn.Parameter | None], nn.Module]
#: Gradients of each layer and matrix, of all batches as one vector, and the mean loss.
Measured = tuple[dict[tuple[str, str], Tensor], float]
METHODS = ("lora-fa", "lora")
ALL = "all"


@dataclass(frozen=True)
class Distance:
    """How far the gradients of a layer's A or B, and the loss, over a base are from those in float32."""

    method: str
    base: str
    layer: str
    matrix: str
    relative_error: float
    cosine: float
    loss: float
    loss_difference: float


def bases_here() -> dict[str, MakeBase]:
    """Return what makes a base of a dense weight [out, in] and a bias, by its name."""
    bases: dict[str, MakeBase] = {"bf16": dense, "fp8": Fp8Linear}
    if find_spec("bitsandbytes") is not None:
        bases["int8"] = by_bitsandbytes.linear_8bit
        bases["nf4"] = partial(by_bitsandbytes.linear_4bit, kind="nf4", double_quant=False)
    return bases


def dense(weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
    """Return a linear layer of this weight as it is."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), bias  # type: ignore[assignment]
    return layer


def adapters(model: nn.Module) -> dict[str, LowRankLinear]:
    """Return the adapted linear layers by path."""
    return {path: module for path, module in model.named_modules() if isinstance(module, LowRankLinear)}


def gradients(ready: Prepared, over: Sequence[Inputs]) -> Measured:
    """Return the gradients of what trains, as the optimizer gets them, of steps without an update."""
    model: Any = ready.model
    layers = adapters(model)
    correct = LoraFaCorrection(layer for layer in layers.values() if isinstance(layer, LoraFaLinear))
    found: defaultdict[tuple[str, str], list[Tensor]] = defaultdict(list)
    loss_sum = 0.0
    for inputs in over:
        loss = model(**inputs).loss
        loss.backward()
        loss_sum += float(loss.detach())
        correct(ready.optimizer, (), {})
        for path, layer in layers.items():
            for matrix in ("lora_A", "lora_B"):
                grad = layer.get_parameter(matrix).grad
                if grad is not None:
                    found[path, matrix].append(grad.double().flatten())
        model.zero_grad(set_to_none=True)
    return {key: torch.cat(parts) for key, parts in found.items()}, loss_sum / len(over)


def into_bf16(model: nn.Module) -> None:
    """Round all parameters to bf16; buffers stay, as in models that are built so."""
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()


def over_each_base(
    ready: Prepared, bases: Mapping[str, MakeBase], over: Sequence[Inputs]
) -> Iterator[tuple[str, Measured]]:
    """Yield the name of each base and what is measured over it; the model has its own again at the end."""
    layers = adapters(ready.model)
    own = {path: layer.base for path, layer in layers.items()}
    for name, make in bases.items():
        for path, layer in layers.items():
            base = cast(Any, own[path])
            layer.base = make(base.weight.data, base.bias).requires_grad_(False)
        yield name, gradients(ready, over)
        for path, layer in layers.items():
            layer.base = own[path]


def distances(method: str, base: str, measured: Measured, exact: Measured) -> Iterator[Distance]:
    """Yield a row for each layer and matrix, and those of all layers as one."""
    (found, loss), (wanted, exact_loss) = measured, exact
    rows = [(layer, matrix, found[layer, matrix], wanted[layer, matrix]) for layer, matrix in wanted]
    for matrix in dict.fromkeys(row[1] for row in rows):
        of_all = [row[2:] for row in rows if row[1] == matrix]
        rows.append((ALL, matrix, *(torch.cat(side) for side in zip(*of_all, strict=True))))
    for layer, matrix, g, e in rows:
        relative, cosine = (g - e).norm() / e.norm(), torch.dot(g, e) / (g.norm() * e.norm())
        yield Distance(method, base, layer, matrix, float(relative), float(cosine), loss, loss - exact_loss)


def summaries(rows: Sequence[Distance]) -> Iterator[str]:
    """Yield a line for each matrix of rows of one method and base."""
    for of_all in (row for row in rows if row.layer == ALL):
        layers = [row for row in rows if row.matrix == of_all.matrix and row.layer != ALL]
        middle = median(row.relative_error for row in layers)
        worst = max(layers, key=lambda row: row.relative_error)
        yield (
            f"{of_all.method} over {of_all.base}, {of_all.matrix}: relative error "
            f"{of_all.relative_error:.4f}, {middle:.4f} in the median of {len(layers)} layers, "
            f"{worst.relative_error:.4f} at most ({worst.layer}); cosine {of_all.cosine:.5f}; "
            f"loss {of_all.loss:.4f} ({of_all.loss_difference:+.5f})"
        )


def measured(asked: argparse.Namespace) -> Iterator[list[Distance]]:
    """Train, and yield the rows of each method and base."""
    device, start = torch.device(asked.device), time.monotonic()
    text = read_text(asked.text, asked.vocabulary)
    print(
        f"{len(text.training)} tokens of {text.vocabulary} words, {len(text.held_out)} held out", flush=True
    )
    shape = llama(asked.width, asked.layers, text.vocabulary, asked.seq)
    size = {"batch": asked.batch, "seq": asked.seq, "device": device}
    held_out = list(batches(text.held_out, asked.batches, seed=asked.seed + 1, **size))
    weights = trained_weights(
        shape, text, steps=asked.steps, learning_rate=asked.learning_rate, seed=asked.seed, **size
    )
    number = sum(weight.numel() for weight in weights.values())
    print(f"{number / 1e6:.1f} M weights trained after {time.monotonic() - start:.0f} s", flush=True)
    for method in METHODS:
        options = {"targets": "all-linear", "rank": asked.rank}
        ready = prepared(shape, method, options, device=device, seed=asked.seed, weights=weights)
        for _ in run_steps(ready, batches(text.training, asked.adapter_steps, seed=asked.seed + 2, **size)):
            pass
        exact = gradients(ready, held_out)
        into_bf16(ready.model)
        for base, got in over_each_base(ready, bases_here(), held_out):
            yield list(distances(method, base, got, exact))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, print lines for each method and base, write the CSV as they come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="plain text, in UTF-8")
    parser.add_argument("--vocabulary", type=int, default=8192, help="words to find in it, at most")
    parser.add_argument("--width", type=int, default=1024, help="of the model, a multiple of 64")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--steps", type=int, default=500, help="of full fine-tuning")
    parser.add_argument("--learning-rate", type=float, default=6e-4, help="at its highest")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument(
        "--adapter-steps", type=int, default=20, help="of each method, over the trained weights"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument(
        "--batches", type=int, default=4, help="of text held out, whose gradients are compared"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--output", type=Path, default=Path("reports/gradient-error/trained-llama.csv"))
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no GPU here: --device cpu runs small models")
    if asked.width % 64:
        parser.error("--width is a multiple of 64")
    if asked.adapter_steps < 1:
        parser.error("--adapter-steps is 1 or more: at first B is zero, and so is the gradient of A")
    if "nf4" not in bases_here():
        print("bitsandbytes is not installed: no int8 and no nf4")
    names = ("width", "layers", "steps", "rank", "seed")
    lines: list[tuple[Any, ...]] = [(*names, *(field.name for field in fields(Distance)))]
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    for rows in measured(asked):
        lines.extend((*(getattr(asked, name) for name in names), *astuple(row)) for row in rows)
        asked.output.write_text(csv_text(lines))
        print("\n".join(summaries(rows)), flush=True)


if __name__ == "__main__":
    main()
