"""What the twin costs: seconds for a cell of Llama-2-7B and Llama-65B, for a sweep, and the memory it takes.

Run it with `make bench-twin`; nothing else should be running. It prints one line per figure.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = """
schema: 1
name: bench-twin
model: [llama-2-7b, llama-3-8b]
method:
  - {name: full-ft}
  - {name: lora, rank: [8, 64]}
  - {name: lora-fa, rank: [8, 64]}
batch: [1, 2]
seq: [256, 512, 1024, 2048, 4096]
gpu: h100-80gb
device: sim:h100-80gb
"""
SINGLE = """
schema: 1
name: bench-twin-single
model: {model}
method: [{{name: lora-fa, rank: 64}}]
batch: {batch}
seq: {seq}
gpu: b200
device: sim:b200
"""


def main() -> int:
    """Run the benchmark."""
    import torch

    from lorafa_prof.running.pool import available_cores

    print(f"torch {torch.__version__}, {available_cores()} cores")
    for model, batch, seq in (("llama-2-7b", 8, 1024), ("llama-65b", 1, 1024)):
        _print_single(model, batch, seq)
    _print_sweep()
    return 0


def _print_single(model: str, batch: int, seq: int) -> None:
    """One cell in a process that has imported everything, as each cell of a sweep is."""
    from lorafa_prof.devices.device import resolve_device
    from lorafa_prof.running.measure import measure_cell
    from lorafa_prof.scenario.expand import expand
    from lorafa_prof.scenario.load import load_scenario

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "single.yaml"
        path.write_text(SINGLE.format(model=model, batch=batch, seq=seq))
        cell = expand(load_scenario(path, []), resolve_device)[0].cell
    process = os.fork()
    if process == 0:
        start = time.perf_counter()
        result = measure_cell(cell)
        seconds = time.perf_counter() - start
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        peak = float(result.row.get("peak_allocated_bytes") or 0) / 2**30
        print(
            f"{model} lora-fa b{batch} s{seq}: {seconds:.2f} s, {megabytes:.0f} MiB of host memory, "
            f"{result.row['status']}, peak {peak:.3f} GiB",
            flush=True,
        )
        os._exit(0)
    os.waitpid(process, 0)


def _print_sweep() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.yaml"
        path.write_text(SWEEP)
        start = time.perf_counter()
        command = [sys.executable, "-m", "lorafa_prof", "run", str(path), "--no-figures"]
        command += ["-o", f"{folder}/out"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        rows = len((Path(folder) / "out" / "results.csv").read_text().splitlines()) - 1
        print(f"sweep of {rows} cells, start to table: {seconds:.1f} s (exit code {done.returncode})")


if __name__ == "__main__":
    sys.exit(main())
