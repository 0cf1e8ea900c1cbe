"""What the learning loop costs over the bare step: in turns in one process, on batches of the same shape.

The loop makes its batches, sets the learning rate, keeps the losses and reads them at the end of a block, and
counts seconds; the bare step is `TrainingStep.run` again and again on one batch that is there already. The
aim is at most 2 % more. What it costs to make a batch alone is told too. Run it with ``make bench-learn``
or::

    python benchmarks/learn.py --model ./smollm2 --method lora-fa --batch 8 --seq 512
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from overhead import make_cell

from lorafa_prof.instruments.timing import Clock, CudaClock, HostClock
from lorafa_prof.learning.batches import Batches
from lorafa_prof.learning.files import RunFiles
from lorafa_prof.learning.losses import MOST_UNREAD
from lorafa_prof.learning.opening import Opened
from lorafa_prof.learning.prepare import prepare_run
from lorafa_prof.learning.record import RunRecord
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.train import Training
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.step import PhaseTracker
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.task import Evaluation, Example, Split, TaskKind

ITEMS = 1000


class RandomText:
    """Items of random tokens, all of one length, so that every batch has the same shape."""

    name = "random-text"
    kind: TaskKind = "causal-lm"
    metric = ""
    classes = None
    notes: tuple[str, ...] = ()

    def __init__(self, vocabulary: int, seq: int) -> None:
        rng = random.Random(0)
        texts = (tuple(rng.randrange(vocabulary) for _ in range(seq)) for _ in range(ITEMS))
        self._examples = [Example(tokens, tokens) for tokens in texts]

    def training_examples(self) -> Sequence[Example]:
        """The items."""
        return self._examples

    def evaluate(self, model: nn.Module, split: Split, *, batch: int, device: torch.device) -> Evaluation:
        """Nothing: only steps are timed."""
        return Evaluation(0, None, None)


def parse_arguments() -> argparse.Namespace:
    """The command line; defaults that suit the device that is there."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="llama-3.2-1b" if cuda else "tiny-llama")
    parser.add_argument("--method", default="lora-fa", choices=["full-ft", "lora", "lora-fa"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=512 if cuda else 128)
    parser.add_argument("--steps", type=int, default=MOST_UNREAD, help="steps in a block, at most so many")
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each loop")
    return parser.parse_args()


def make_run(arguments: argparse.Namespace) -> LearningRun:
    """The run whose steps are timed."""
    return LearningRun(
        cell=make_cell(arguments),
        task=TaskChoice(name=RandomText.name),
        learning_rate=1e-4,
        seed=0,
        draw_seed=0,
        steps=10**6,
        epochs=None,
        schedule="cosine",
        warmup=0.03,
        weight_decay=0.0,
        evaluate_every=None,
    )


def main() -> None:
    """Print the times and their ratio."""
    arguments = parse_arguments()
    run = make_run(arguments)
    device = torch.device(run.cell.device)
    resolved = resolve_model(run.cell.model)
    task = RandomText(resolved.config.get_text_config().vocab_size, run.cell.seq)
    ready = prepare_run(run, Opened(resolved, task, 0), device)
    clock: Clock = CudaClock() if device.type == "cuda" else HostClock()
    # On a CPU that others use too, this process's own time tells more than the clock on the wall.
    now = time.perf_counter if device.type == "cuda" else time.process_time
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "learning").mkdir()
        files = RunFiles(Path(folder), run.run_id)
        training = Training(
            RunRecord(run=run), files, Opened(resolved, task, 0), ready, device, PhaseTracker()
        )
        bare_step = replace(ready.step, inputs=ready.batches.micro_batch(0).inputs)

        def loop() -> None:
            training.train_until(training.standing.step + arguments.steps)

        def bare() -> None:
            for _ in range(arguments.steps):
                bare_step.run()

        for _ in range(2):  # also the longest batch is seen, and looked at, here
            loop()
            bare()
        ratios, bare_ms = [], []
        for block in range(arguments.blocks):
            both = dict.fromkeys(("loop", "bare"), 0.0)
            order = (("loop", loop), ("bare", bare))
            for name, steps in order if block % 2 else reversed(order):
                clock.settle()
                start = now()
                steps()
                clock.settle()
                both[name] = (now() - start) * 1e3 / arguments.steps
            ratios.append(both["loop"] / both["bare"])
            bare_ms.append(both["bare"])
    place = run.cell.gpu or run.cell.device
    print(f"run            {run.cell.label} {run.cell.dtype} on {place}, torch {torch.__version__}")
    print(f"bare step      {spread(bare_ms)} ms, {arguments.blocks} blocks of {arguments.steps}")
    print(f"loop / bare    {spread(ratios)}")
    print(f"a batch alone  {batch_ms(ready.batches, arguments.steps, clock):.4f} ms")


def batch_ms(batches: Batches, count: int, clock: Clock) -> float:
    """Milliseconds that it takes to make a batch and bring it to the device."""
    clock.settle()
    start = time.perf_counter()
    for number in range(count):
        batches.micro_batch(number)
    clock.settle()
    return (time.perf_counter() - start) * 1e3 / count


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.4f} (least {min(values):.4f}, greatest {max(values):.4f})"


if __name__ == "__main__":
    main()
