"""What `lorafa_prof.profile` costs a loop where nothing is attributed: profiled against bare, block by block.

Both loops run in turns in one process, so that a drifting machine moves both alike. The claim is that a step
takes at most 1 % longer. What is entered and left once, around the loop, is told beside. Run it with
``make bench-profile``; on a machine with a GPU it is of that GPU. On the CPU it is of one core, in its
seconds, which other programs beside it do not move.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn

import lorafa_prof


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=20, help="blocks of each loop")
    return parser.parse_args()


class Loop:
    """A training loop as anyone would write it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        width = arguments.width
        layers = [nn.Sequential(nn.Linear(width, width), nn.GELU()) for _ in range(arguments.layers)]
        self.model = nn.Sequential(*layers).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.x = torch.randn(arguments.rows, width, device=device)

    def now(self) -> float:
        """Seconds by the wall's clock on a GPU, and by the process's own on the CPU."""
        return time.perf_counter() if self.x.is_cuda else time.process_time()

    def run(self, steps: int) -> None:
        """So many steps, to their end on the device."""
        for _ in range(steps):
            self.model(self.x).square().mean().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        if self.x.is_cuda:
            torch.cuda.synchronize()


def seconds(loop: Loop, steps: int) -> float:
    """Of a step of the loop."""
    start = loop.now()
    loop.run(steps)
    return (loop.now() - start) / steps


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.4f} (least {min(values):.4f}, greatest {max(values):.4f})"


def main() -> None:
    """Print the ratio of a profiled step to a bare one, and the fixed cost of the context."""
    arguments = parse_arguments()
    torch.set_num_threads(1)
    loop = Loop(arguments)
    loop.run(3)
    bare: list[float] = []
    profiled: list[float] = []
    fixed: list[float] = []
    for block in range(arguments.blocks):
        if block % 2:
            bare.append(seconds(loop, arguments.steps))
        around = loop.now()
        with lorafa_prof.profile(attribute=False):
            profiled.append(seconds(loop, arguments.steps))
        fixed.append(loop.now() - around - profiled[-1] * arguments.steps)
        if not block % 2:
            bare.append(seconds(loop, arguments.steps))
    where = torch.cuda.get_device_name() if loop.x.is_cuda else "CPU"
    print(f"on {where}, torch {torch.__version__}, {arguments.blocks} blocks of {arguments.steps} steps")
    print(f"bare step        {spread([each * 1e3 for each in bare])} ms")
    print(f"profiled / bare  {spread([p / b for p, b in zip(profiled, bare, strict=True)])}")
    print(f"medians          {statistics.median(profiled) / statistics.median(bare):.4f}")
    print(f"fixed            {spread([each * 1e3 for each in fixed])} ms around the loop, once")


if __name__ == "__main__":
    main()
