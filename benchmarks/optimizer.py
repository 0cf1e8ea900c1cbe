"""What LoRA-FA's optimizer phase takes, its gradients corrected each or batched, and AdamW alone: CSV.

    python benchmarks/optimizer.py [--model llama-2-7b] [--rank 64] [--device cuda] > optimizer.csv

The model's A's and B's alone are made, in bf16, with random gradients, and 30 steps of each kind are timed in
turn: by CUDA events on a GPU, where `host_ms` is how long the host is busy launching. `more_bytes` is what is
held more at the peak than at the start. On a CPU both times are the wall clock's, and `more_bytes` is empty.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from lorafa_prof.cell import ModelChoice
from lorafa_prof.layers.factors import new_factors
from lorafa_prof.layers.low_rank_linear import in_by_out
from lorafa_prof.layers.targets import find_targets
from lorafa_prof.models.build import build_model
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.optim.lora_fa import AT_ONCE_BYTES, LoraFaCorrection

COLUMNS = ("model", "rank", "layers", "kind", "device_ms", "host_ms", "more_bytes")
WARMUP, TIMED = 5, 30


class Adapter(nn.Module):
    """A and B of a layer without the layer."""

    def __init__(self, n_in: int, n_out: int, rank: int, device: torch.device, path: str) -> None:
        super().__init__()
        like = torch.empty(0, device=device)
        self.lora_A, self.lora_B = new_factors(like, rank, n_in, n_out, torch.bfloat16)
        self.lora_A.requires_grad_(False)
        self.scale, self.path = 0.5, path


def adapters_of(model: str, rank: int, device: torch.device) -> list[Adapter]:
    """Return an adapter for each linear layer of the model that `targets: all-linear` names."""
    resolved = resolve_model(ModelChoice(name=model))
    meta = torch.device("meta")
    built = build_model(resolved, device=meta, dtype=torch.bfloat16, attention="sdpa", checkpointing="none")
    return [
        Adapter(*in_by_out(target.module), rank, device, path)
        for path, target in find_targets(built, "all-linear").items()
    ]


def step_of(adapters: list[Adapter], at_once_bytes: int | None) -> Callable[[], None]:
    """Return an optimizer phase with its gradients as backward leaves them; None: they are not corrected."""
    bs = [adapter.lora_B for adapter in adapters]
    optimizer = make_optimizer("adamw", bs)
    if at_once_bytes is not None:
        optimizer.register_step_pre_hook(LoraFaCorrection(adapters, at_once_bytes))  # type: ignore[arg-type]
    return optimizer.step


def timed(
    step: Callable[[], None], bs: list[Tensor], device: torch.device
) -> tuple[float, float, int | None]:
    """Return one step's time on the device and on the host, in ms, and the bytes it held more at its peak."""
    for b in bs:
        b.grad = torch.randn_like(b)
    more: int | None = None
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # The device waits, as it does behind a backward, so that the host's launching is not in its time.
        torch.cuda._sleep(50_000_000)
        started.record()
    begun = time.perf_counter()
    step()
    host_ms = device_ms = (time.perf_counter() - begun) * 1e3
    if device.type == "cuda":
        ended.record()
        torch.cuda.synchronize()
        device_ms = started.elapsed_time(ended)
        more = torch.cuda.max_memory_allocated() - held
    return device_ms, host_ms, more


def rows(model: str, rank: int, device: torch.device) -> Iterator[dict[str, object]]:
    """Yield a row of COLUMNS for each kind of step; they take turns, so that all see the same GPU."""
    kinds = {"adamw alone": None, "each": 0, "batched": AT_ONCE_BYTES}
    adapters = adapters_of(model, rank, device)
    bs: list[Tensor] = [adapter.lora_B for adapter in adapters]
    steps = {kind: step_of(adapters, at_once_bytes) for kind, at_once_bytes in kinds.items()}
    found: dict[str, list[tuple[float, float, int | None]]] = {kind: [] for kind in kinds}
    for number in range(WARMUP + TIMED):
        for kind, step in steps.items():
            result = timed(step, bs, device)
            if number >= WARMUP:
                found[kind].append(result)
    for kind, results in found.items():
        device_ms, host_ms, more = zip(*results, strict=True)
        yield {
            "model": model,
            "rank": rank,
            "layers": len(adapters),
            "kind": kind,
            "device_ms": round(statistics.median(device_ms), 3),
            "host_ms": round(statistics.median(host_ms), 3),
            "more_bytes": more[-1],
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["llama-2-7b"])
    parser.add_argument("--rank", nargs="+", type=int, default=[64])
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for model in asked.model:
        for rank in asked.rank:
            writer.writerows(rows(model, rank, torch.device(asked.device)))


if __name__ == "__main__":
    main()
