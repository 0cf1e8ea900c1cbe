"""A loop of Accelerate's, profiled: nothing but the `with` line and the last one is lorafa-prof's.

Run it with ``accelerate launch examples/accelerate_profiled.py``, or with ``python``.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lorafa_prof


def main() -> None:
    """Train, and print where the memory goes."""
    accelerator = Accelerator(gradient_accumulation_steps=2)
    model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 8))
    rows = TensorDataset(torch.randn(64, 64), torch.randint(0, 8, (64,)))
    model, optimizer, loader = accelerator.prepare(
        model, torch.optim.AdamW(model.parameters()), DataLoader(rows, batch_size=8)
    )
    with lorafa_prof.profile(model=model) as run:
        for x, y in loader:
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
    if accelerator.is_main_process:
        print(run.result.table())


if __name__ == "__main__":
    main()
