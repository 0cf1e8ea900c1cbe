"""Record what a GPU's caching allocator does in training and with blocks of any size: traces for its model.

``python tests/devices/sim/record_gpu_trace.py FOLDER`` writes FOLDER/<name>.json.xz for each of `TRACES`; it
needs a CUDA GPU and nothing of lorafa-prof. tests/devices/sim/test_gpu_trace.py replays what it wrote.
"""

from __future__ import annotations

import ctypes
import json
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Name of a trace, settings of the allocator, and how many bytes of the device are free for it (None: all).
TRACES: Mapping[str, tuple[str, int | None]] = {
    "default": ("", None),
    "limited": ("", 3 << 30),
    "max_split": ("max_split_size_mb:64", 3 << 30),
    "expandable": ("expandable_segments:True", None),
    "expandable_limited": ("expandable_segments:True", 5 << 29),
}
CODES = {
    "alloc": "a",
    "free_requested": "f",
    "segment_alloc": "S",
    "segment_map": "S",
    "segment_free": "s",
    "segment_unmap": "s",
    "oom": "o",
}
STEPS, RANDOM_BLOCKS = 36, 20_000


def main() -> None:
    """Record all traces, each in a process with its settings, or the one that is named."""
    folder, *names = sys.argv[1:]
    if names:
        _record(Path(folder), names[0])
        return
    for name, (settings, _) in TRACES.items():
        # Kernels loaded later would take memory that the model does not know of.
        environment = {**os.environ, "PYTORCH_CUDA_ALLOC_CONF": settings, "CUDA_MODULE_LOADING": "EAGER"}
        subprocess.run([sys.executable, __file__, folder, name], env=environment, check=True)


def _record(folder: Path, name: str) -> None:
    import torch

    settings, limit = TRACES[name]
    torch.cuda.init()
    capacity = limit
    if limit is not None and "expandable" in settings:
        capacity = _leave(limit)
    elif limit is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(limit / total)
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.memory._record_memory_history("all", context=None, stacks="python", max_entries=10_000_000)
    chance = random.Random(len(name))
    _train(chance, empty_cache=limit is None)
    _any_sizes(chance, empty_cache=limit is None)
    torch.cuda.synchronize()
    trace = torch.cuda.memory._snapshot()["device_traces"][0]
    data = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "settings": settings,
        "capacity_bytes": capacity,
        "stats": _stats(torch.cuda.memory_stats()),
        "events": [[CODES[e["action"]], e.get("addr", 0), e["size"]] for e in trace if e["action"] in CODES],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json.xz").write_bytes(lzma.compress(json.dumps(data).encode(), preset=9))
    requests = sum(code in "af" for code, _, _ in data["events"])
    print(f"{name}: {requests:,} allocations and frees, {data['stats']}", flush=True)


def _leave(free_bytes: int) -> int:
    """Take memory from CUDA itself until about `free_bytes` are free; returns how many are.

    With expandable segments set_per_process_memory_fraction is no substitute: it refuses by the size of a
    request, and not by the pages that are still to be mapped for it.
    """
    import torch

    # Libraries take memory of their own at their first use: that must be before.
    _train(random.Random(0), empty_cache=False, steps=6)
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    if torch.cuda.memory_reserved():
        raise RuntimeError(f"{torch.cuda.memory_reserved():,} bytes are in use before the trace starts")
    runtime = ctypes.CDLL(f"libcudart.so.{(torch.version.cuda or '').split('.')[0]}")
    taken = ctypes.c_void_p()
    status = runtime.cudaMalloc(
        ctypes.byref(taken), ctypes.c_size_t(torch.cuda.mem_get_info()[0] - free_bytes)
    )
    if status:
        raise RuntimeError(f"cudaMalloc: error {status}")
    return int(torch.cuda.mem_get_info()[0])


def _train(chance: random.Random, *, empty_cache: bool, steps: int = STEPS) -> None:
    """Steps of a small Llama, of lengths and batches that vary, with a frozen part or without."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        vocab_size=32_000,
    )
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    for step in range(steps):
        for index, layer in enumerate(model.model.layers):
            layer.requires_grad_(step % 3 != 1 or index % 2 == 0)
        if step % 3 == 2:
            model.gradient_checkpointing_enable()
        else:
            model.gradient_checkpointing_disable()
        batch, length = chance.choice((1, 2, 4)), chance.randrange(16, 1024)
        try:
            tokens = torch.randint(0, 32_000, (batch, length), device="cuda")
            model(input_ids=tokens, labels=tokens).loss.backward()
            optimizer.step()
        except torch.OutOfMemoryError:
            print("a step ran out of memory", flush=True)
        optimizer.zero_grad(set_to_none=step % 5 != 0)
        if empty_cache and step % 10 == 9:
            torch.cuda.empty_cache()


def _any_sizes(chance: random.Random, *, empty_cache: bool) -> None:
    """Blocks of 1 byte to 400 MB, taken and given back in any order."""
    import torch

    live: list[Any] = []
    for turn in range(RANDOM_BLOCKS):
        size = int(2 ** chance.uniform(0, 28.6 if chance.random() < 0.2 else 22))
        try:
            live.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            del live[: len(live) // 2]
        while len(live) > 300 or (live and chance.random() < 0.45):
            live.pop(chance.randrange(len(live)))
        if empty_cache and turn % 2000 == 1999:
            torch.cuda.empty_cache()


def _stats(stats: Mapping[str, Any]) -> dict[str, int]:
    counted = ("allocated_bytes", "requested_bytes", "active_bytes", "reserved_bytes", "segment")
    names = [f"{name}.{part}" for name in counted for part in ("current", "peak")]
    values = {name: stats[".all.".join(name.split("."))] for name in names}
    return {**values, "num_alloc_retries": stats["num_alloc_retries"], "num_ooms": stats["num_ooms"]}


if __name__ == "__main__":
    main()
