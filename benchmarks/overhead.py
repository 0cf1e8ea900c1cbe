"""What measuring costs: the timed pass against a bare loop of the same step, and a cell's fixed cost.

Both loops run in turns in one process, block by block, so that a drifting machine moves both alike. The claim
is that the timed pass takes at most 1 % longer. Run it with ``make bench-overhead`` or, for more::

    python benchmarks/overhead.py --model llama-2-7b --method lora-fa --batch 8 --seq 1024
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, Steps
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.instruments.timing import Clock, CudaClock, HostClock, time_steps
from lorafa_prof.methods.base import METHODS
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.running.worker import run_cell
from lorafa_prof.scenario.options import validated_options
from lorafa_prof.step import TrainingStep


def parse_arguments() -> argparse.Namespace:
    """The command line; defaults that suit the device that is there."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="llama-2-7b" if cuda else "tiny-llama")
    parser.add_argument("--method", default="lora-fa", choices=["full-ft", "lora", "lora-fa"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=1024 if cuda else 128)
    parser.add_argument("--steps", type=int, default=5, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each loop")
    return parser.parse_args()


def make_cell(arguments: argparse.Namespace) -> Cell:
    """The cell that both loops run."""
    # Not `auto`: the twin has no times.
    place = resolve_device("cuda" if torch.cuda.is_available() else "cpu", "h100-80gb")
    dtype = "bf16" if place.device == "cuda" else "fp32"
    return Cell(
        model=ModelChoice(name=arguments.model),
        method=MethodChoice(name=arguments.method, options=validated_options(METHODS[arguments.method], {})),
        batch=arguments.batch,
        seq=arguments.seq,
        dtype=dtype,
        adapter_dtype=dtype,
        attention="sdpa",
        kernels="eager",
        checkpointing="none",
        optimizer="adamw",
        device=place.device,
        gpu=place.gpu,
        steps=Steps(warmup=3, timed=arguments.steps),
    )


def bare_block(step: TrainingStep, steps: int, clock: Clock) -> float:
    """Milliseconds per step of the loop as anyone would write it."""
    model, inputs, optimizer = step.model, step.inputs, step.optimizer
    clock.settle()
    start = time.perf_counter()
    for _ in range(steps):
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        del loss
    clock.settle()
    return (time.perf_counter() - start) * 1e3 / steps


def timed_block(step: TrainingStep, steps: int, clock: Clock) -> tuple[float, float]:
    """Milliseconds per step of the timed pass: by the host's clock around it, and as it reports itself."""
    clock.settle()
    start = time.perf_counter()
    times = time_steps(step, steps, clock)
    return (time.perf_counter() - start) * 1e3 / steps, statistics.mean(times.step_ms)


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.4f} (least {min(values):.4f}, greatest {max(values):.4f})"


def main() -> None:
    """Print the ratios and the fixed cost."""
    arguments = parse_arguments()
    cell = make_cell(arguments)
    fixed_cost(cell)
    clock: Clock = CudaClock() if cell.device == "cuda" else HostClock()
    _, step = prepare_step(cell, torch.device(cell.device))
    for _ in range(cell.steps.warmup):
        step.run()
    bare, timed, reported = [], [], []
    for block in range(arguments.blocks):
        if block % 2:
            bare.append(bare_block(step, arguments.steps, clock))
        by_host, by_itself = timed_block(step, arguments.steps, clock)
        timed.append(by_host)
        reported.append(by_itself)
        if not block % 2:
            bare.append(bare_block(step, arguments.steps, clock))
    print(f"cell           {cell.label} {cell.dtype} on {cell.gpu or cell.device}, torch {torch.__version__}")
    print(f"bare loop      {spread(bare)} ms a step, {arguments.blocks} blocks of {arguments.steps}")
    print(f"timed / bare   {spread([t / b for t, b in zip(timed, bare, strict=True)])}")
    print(f"reported / bare {spread([r / b for r, b in zip(reported, bare, strict=True)])}")


def fixed_cost(cell: Cell) -> None:
    """Run the cell twice in processes of their own: the first pays for the imports of all."""
    with tempfile.TemporaryDirectory() as folder:
        for which in ("first cell", "next cell "):
            start = time.perf_counter()
            result = run_cell(cell, Path(folder) / "log", None)
            wall = time.perf_counter() - start
            parts = {name: round(seconds, 2) for name, seconds in result.details["seconds"].items()}
            print(f"{which}     {wall:.2f} s in all; of it {parts}")


if __name__ == "__main__":
    main()
