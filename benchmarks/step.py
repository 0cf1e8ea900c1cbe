"""Our step beside its peers', in one run on one GPU: tokens a second, what forward holds, the peak.

    python benchmarks/step.py [--table TABLE] [--rows REGEX] [--output FOLDER]

TABLE is one of those below, `llama-2-7b` unless said. Each row is a cell in a process of its own. FOLDER gets
`<TABLE>.csv`, the rows' columns and their speed over the best peer's, and is reports/h200-step unless said.
REGEX picks rows by their settings, as they are printed.
Unsloth is a peer where it is installed (`unsloth_peer.py`); its row is skipped where it is not.
`make bench-step` writes that of Llama-2-7B. The rate of bf16 products of 8192³ is measured in the same run.
Nothing else should use the GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

import unsloth_peer

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, Steps
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.methods.base import METHODS
from lorafa_prof.running.worker import run_cell
from lorafa_prof.scenario.options import validated_options

#: What all rows of a table have, and each row's own: its method, its kernels, and what differs else.
TABLES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "llama-2-7b": (
        {"model": "llama-2-7b", "batch": 8, "seq": 1024, "rank": 64},
        [
            {"method": "peft-lora"},
            {"method": "peft-lora-fa"},
            {"method": "peft-lora", "kernels": "liger"},
            {"method": "peft-lora-fa", "kernels": "liger"},
            {"method": "peft-lora", "kernels": "compile"},
            {"method": unsloth_peer.METHOD.name},
            {"method": "lora"},
            {"method": "lora", "kernels": "liger"},
            {"method": "lora", "kernels": "compile"},
            {"method": "lora", "kernels": "packed"},
            {"method": "lora-fa"},
            {"method": "lora-fa", "kernels": "fused"},
            {"method": "lora-fa", "kernels": "liger"},
            {"method": "lora-fa", "kernels": "compile"},
            {"method": "lora-fa", "kernels": "packed"},
            {"method": "lora-fa", "kernels": "packed", "correction": "batched"},
            {"method": "frozen", "kernels": "liger"},
            {"method": "frozen", "kernels": "packed"},
        ],
    ),
    "fp8": (
        {
            "model": "llama-2-7b",
            "batch": 8,
            "seq": 1024,
            "rank": 64,
            "kernels": "packed",
            "correction": "batched",
        },
        [
            {"method": "lora-fa", "quantization": "fp8"},
            {"method": "frozen", "quantization": "fp8"},
            {"method": "peft-lora", "kernels": "compile"},
            {"method": "lora-fa"},
            {"method": "frozen"},
            {"method": "lora", "quantization": "fp8"},
        ],
    ),
    "recomputed": (
        {
            "model": "llama-2-7b",
            "batch": 8,
            "seq": 1024,
            "rank": 64,
            "method": "lora-fa",
            "kernels": "packed",
            "correction": "batched",
        },
        [
            {"checkpointing": checkpointing}
            for checkpointing in (
                "none",
                "attention+mlp=0.25+offload",
                "attention+offload=0.42",
                "full+offload",
                "full",
                "attention",
                "mlp",
            )
        ],
    ),
    "small": (
        {"rank": 16, "batch": 8, "seq": 512},
        [
            {"model": model, "kernels": kernels, "launch": launch, **method}
            for model, kinds in (
                ("roberta-large", ("eager",)),
                ("t5-large", ("eager",)),
                ("gpt2-medium", ("eager",)),
                ("llama-3.2-1b", ("eager", "packed")),
                ("qwen3-0.6b", ("eager", "packed")),
            )
            for launch, kernels, method in (
                ("eager", "eager", {"method": "lora"}),
                *(
                    ("graph", kernels, method)
                    for kernels in kinds
                    for method in (
                        {"method": "lora"},
                        {"method": "lora-fa"},
                        {"method": "lora-fa", "correction": "batched"},
                    )
                ),
            )
        ],
    ),
    "yardstick": (
        {"model": "llama-3-8b", "batch": 2, "seq": 4096, "rank": 16, "dropout": 0.1},
        [
            {"method": "lora-fa", "kernels": "packed", "correction": "batched"},
            {"method": "lora", "kernels": "packed"},
            {"method": "lora-fa", "kernels": "packed", "quantization": "fp8", "correction": "batched"},
            {"method": "peft-lora", "kernels": "liger"},
        ],
    ),
    "long": (
        {
            "model": "llama-3-8b",
            "batch": 1,
            "rank": 16,
            "method": "lora-fa",
            "kernels": "packed",
            "warmup": 1,
            "timed": 1,
        },
        [
            {"seq": 32768, "checkpointing": "none"},
            {"seq": 65536, "checkpointing": "full"},
            {"seq": 131072, "checkpointing": "full+offload"},
        ],
    ),
}
METHOD_OPTIONS = ("rank", "dropout", "correction")
#: How the names of peers' methods start.
PEERS = ("peft-", "unsloth-")


def cell_of(settings: Mapping[str, Any]) -> Cell:
    """Return the cell of a row: bf16, all linear layers adapted."""
    place = resolve_device("cuda", "h200")
    method = {**METHODS, unsloth_peer.METHOD.name: unsloth_peer.METHOD}[settings["method"]]
    options: dict[str, Any] = {}
    if method.default_adapter_dtype is not None:
        options = {
            "targets": "all-linear",
            **{
                key: settings[key]
                for key in METHOD_OPTIONS
                if key in settings and key in method.options.model_fields
            },
        }
    own = {key: settings[key] for key in ("batch", "seq", "quantization") if key in settings}
    return Cell(
        model=ModelChoice(name=settings["model"]),
        method=MethodChoice(name=method.name, options=validated_options(method, options)),
        dtype="bf16",
        adapter_dtype="bf16",
        attention="sdpa",
        kernels=settings.get("kernels", "eager"),
        checkpointing=settings.get("checkpointing", "none"),
        launch=settings.get("launch", "eager"),
        optimizer="adamw",
        device=place.device,
        gpu=place.gpu,
        steps=Steps(warmup=settings.get("warmup", 4), timed=settings.get("timed", 12)),
        **own,
    )


def product_tflops(rows: int, inner: int, columns: int) -> float:
    """Return the rate of bf16 products [rows, inner] times [inner, columns], in TFLOP/s."""
    a, b = (
        torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in ((rows, inner), (inner, columns))
    )
    for _ in range(3):
        torch.mm(a, b)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(10):
        torch.mm(a, b)
    end.record()
    torch.cuda.synchronize()
    return 10 * 2 * rows * inner * columns / start.elapsed_time(end) / 1e9


def measured(table: str, wanted: str) -> Iterator[dict[str, Any]]:
    """Yield the row of each cell of a table, of those whose settings match `wanted`, as it ends."""
    common, rows = TABLES[table]
    with tempfile.TemporaryDirectory() as folder:
        for own in (own for own in rows if re.search(wanted, json.dumps(own))):
            settings = {**common, **own}
            cell, log = cell_of(settings), Path(folder) / "log"
            of_unsloth = cell.method.name == unsloth_peer.METHOD.name
            found = unsloth_peer.run(cell, log) if of_unsloth else run_cell(cell, log, None).row
            row = {"table": table, "settings": json.dumps(settings), **found}
            said = row["status"] if row["status"] == "ok" else f"{row['status']}: {row['message']}"
            rate, held, peak = (
                row.get(key) or 0 for key in ("tokens_per_s", "activation_bytes", "peak_allocated_bytes")
            )
            print(
                f"{json.dumps(own):80} {said[:120]:8} {float(rate):8.0f} tok/s "
                f"held {int(held) / 2**30:7.3f} peak {int(peak) / 2**30:7.3f} GiB",
                flush=True,
            )
            yield row


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows that there are, each with its speed over the best peer's among them."""
    best_peer = max(
        (row.get("tokens_per_s") or 0 for row in rows if row["method"].startswith(PEERS)), default=0
    )
    for row in rows:
        rate = row.get("tokens_per_s")
        row["over_best_peer"] = round(rate / best_peer, 4) if rate and best_peer else ""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Measure a table, print it, write its CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", choices=list(TABLES), default="llama-2-7b")
    parser.add_argument("--rows", default="", metavar="REGEX", help="only these")
    parser.add_argument("--output", type=Path, default=Path("reports/h200-step"))
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks/step.py measures on a GPU, and there is none")
    rows: list[dict[str, Any]] = []
    for row in measured(arguments.table, arguments.rows):
        rows.append(row)
        write(arguments.output / f"{arguments.table}.csv", rows)
    print(f"bf16 product 8192³: {product_tflops(8192, 8192, 8192):.0f} TFLOP/s")


if __name__ == "__main__":
    main()
