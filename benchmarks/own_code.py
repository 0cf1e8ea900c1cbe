"""Predict scripts as they are, and run them as they are: their peaks side by side.

    python benchmarks/own_code.py [--rows REGEX] [--output FOLDER] [--again CSV]

Each row is a script of examples/ with some arguments. It is run on this GPU in a process of its own, to its
end, with nothing attached: only `torch.cuda.memory_stats()` is read when it has ended. Then `lorafa-prof
predict` runs it on the twin of this GPU, by the same packages. FOLDER gets `own_code.csv` and, of each row,
what both printed, and is reports/own-code unless said. REGEX picks rows by their names. A script whose
packages are missing is left out, and said. With `--again` nothing is measured: what CSV has measured is
predicted anew, which needs no GPU. Run it with ``make bench-own-code``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from lorafa_prof.devices.device import gpu_name

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 300
#: More optimizer steps than any of the scripts takes, so that both run to the script's end.
ALL_STEPS = "100000"
COUNTERS = ("requested", "allocated", "reserved")
PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes")

#: Runs a script as `python SCRIPT ARGS` does, and writes the allocator's counters when it has ended.
AS_IT_IS = """
import json, os, runpy, sys
told, sys.argv = sys.argv[1], sys.argv[2:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
import torch
with open(told, "w") as file:
    json.dump(torch.cuda.memory_stats(), file)
"""


@dataclass(frozen=True)
class Row:
    """A script with its arguments.

    Attributes:
        name: of the row.
        command: file in examples/, arguments.
        needs: packages without which it does not run.
        environment: variables, beside those that there are.
    """

    name: str
    command: str
    needs: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


TABLE = (
    Row("plain loop", "plain_loop.py"),
    Row("plain loop, wide", "plain_loop.py --width 65536 --batch-size 1024"),
    Row("Trainer, LoRA", "trainer_causal_lm.py", ("transformers", "peft")),
    Row(
        "Trainer, LoRA, 7B's widths, 8 layers",
        "trainer_causal_lm.py --hidden 4096 --layers 8 --seq 1024",
        ("transformers", "peft"),
    ),
    Row(
        "Trainer, all weights, 1B",
        "trainer_causal_lm.py --full --hidden 2048 --layers 16 --seq 512",
        ("transformers", "peft"),
    ),
    Row("SFTTrainer, LoRA", "sft_lora.py", ("trl", "peft")),
    Row("SFTTrainer, LoRA, 1B", "sft_lora.py --hidden 2048 --layers 16", ("trl", "peft")),
    Row("SFTTrainer, LoRA, packed", "sft_lora.py --packing", ("trl", "peft")),
    Row(
        "SFTTrainer, LoRA, packed, 1B",
        "sft_lora.py --packing --hidden 2048 --layers 16 --max_length 512",
        ("trl", "peft"),
    ),
    Row("PEFT's LoRA-FA", "lora_fa.py", ("peft",)),
    Row("PEFT's LoRA-FA, 7B's widths, 8 layers", "lora_fa.py --hidden 4096 --layers 8 --seq 512", ("peft",)),
    Row("4 bits", "four_bit.py", ("bitsandbytes", "peft")),
    Row(
        "4 bits, 7B's widths, 8 layers",
        "four_bit.py --hidden 4096 --layers 8 --seq 512",
        ("bitsandbytes", "peft"),
    ),
    Row("image classifier", "image_classifier.py"),
    Row("image classifier, large", "image_classifier.py --side 512"),
    Row("compiled", "compiled.py"),
    Row("compiled, not compiling", "compiled.py", (), (("TORCHDYNAMO_DISABLE", "1"),)),
)


def measured(row: Row, log: Path) -> dict[str, Any]:
    """Return the counters' peaks of the script, run to its end with nothing attached."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "stats.json"
        seconds, code = _run([sys.executable, "-c", AS_IT_IS, str(told)], row, log)
        if not told.is_file():
            return {"status": f"failed with {code}", "seconds": seconds}
        stats = json.loads(told.read_text())
    peaks = {name: stats[f"{name}_bytes.all.peak"] for name in COUNTERS}
    return {"status": "ok", "seconds": seconds, **peaks}


def predicted(row: Row, gpu: str, log: Path) -> dict[str, Any]:
    """Return the peaks of the script on the twin."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        words = ["predict", "--gpu", gpu, "--steps", ALL_STEPS, "--json", str(told), "--", "python"]
        seconds, code = _run([sys.executable, "-m", "lorafa_prof", *words], row, log)
        if not told.is_file():
            return {"status": f"failed with {code}", "seconds": seconds}
        found = json.loads(told.read_text())
    peaks = {name: found[f"peak_{name}_bytes"] for name in COUNTERS}
    return {"status": found["status"], "seconds": seconds, **peaks, "notes": found["notes"]}


def _run(before: list[str], row: Row, log: Path) -> tuple[float, int | str]:
    script, *arguments = row.command.split()
    start = time.perf_counter()
    with log.open("w") as output:
        try:
            done = subprocess.run(
                [*before, str(ROOT / "examples" / script), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict(row.environment), "HF_HUB_OFFLINE": "1"},
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return TIMEOUT_S, f"no end within {TIMEOUT_S} s"
    return round(time.perf_counter() - start, 1), done.returncode


def compared(wanted: str, logs: Path, before: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield each row's peaks, measured (or as they were `before`, by name) and predicted, as it ends."""
    logs.mkdir(parents=True, exist_ok=True)
    for row in TABLE:
        if not re.search(wanted, row.name) or (before and row.name not in before):
            continue
        if missing := [name for name in row.needs if find_spec(name) is None]:
            print(f"{row.name}: left out, {', '.join(missing)} missing", flush=True)
            continue
        file = re.sub(r"\W+", "-", row.name.lower())
        told = before.get(row.name) or measured_columns(row, logs / f"{file}-measured.txt")
        told = dict(told) | predicted_columns(row, told, logs / f"{file}-predicted.txt")
        differences = ", ".join(f"{name} {told[f'{name}_difference_bytes']}" for name in COUNTERS)
        said = f"{told['measured_status']:8} {told['predicted_status']:8}"
        print(f"{row.name:38} {said} predicted - measured: {differences}", flush=True)
        yield told


def measured_columns(row: Row, log: Path) -> dict[str, Any]:
    """Return what a row says of the script as it ran."""
    here = measured(row, log)
    return {
        "script": row.name,
        "command": row.command,
        "environment": " ".join(f"{key}={value}" for key, value in row.environment),
        "gpu": torch.cuda.get_device_name(),
        "measured_status": here["status"],
        **{f"measured_{name}_bytes": here.get(name, "") for name in COUNTERS},
        "measured_s": here["seconds"],
        "measured_versions": _versions(),
    }


def predicted_columns(row: Row, told: Mapping[str, Any], log: Path) -> dict[str, Any]:
    """Return what a row says of the script as it was predicted, beside what was measured."""
    twin = predicted(row, gpu_name(told["gpu"]), log)
    columns: dict[str, Any] = {"predicted_status": twin["status"]}
    for name in COUNTERS:
        columns[f"predicted_{name}_bytes"] = twin.get(name, "")
        there = told[f"measured_{name}_bytes"]
        columns[f"{name}_difference_bytes"] = twin[name] - int(there) if there != "" and name in twin else ""
    notes = " | ".join(twin.get("notes", ()))
    return columns | {"predicted_s": twin["seconds"], "predicted_versions": _versions(), "notes": notes}


def _versions() -> str:
    return " ".join(f"{name}={_version(name)}" for name in PACKAGES)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def main() -> None:
    """Compare, print, write the CSV as rows come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="", metavar="REGEX", help="only these")
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "own-code")
    parser.add_argument("--again", type=Path, metavar="CSV", help="predict anew what this file has measured")
    arguments = parser.parse_args()
    if arguments.again is None and not torch.cuda.is_available():
        sys.exit("benchmarks/own_code.py measures on a GPU, and there is none: --again CSV predicts without")
    before: dict[str, dict[str, str]] = {}
    if arguments.again is not None:
        with arguments.again.open(newline="") as file:
            before = {row["script"]: row for row in csv.DictReader(file)}
    rows: list[dict[str, Any]] = []
    for row in compared(arguments.rows, arguments.output / "printed", before):
        rows.append(row)
        with (arguments.output / "own_code.csv").open("w", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=list(row))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
