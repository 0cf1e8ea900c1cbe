"""Drawing weights by random numbers of their own, so that what is drawn otherwise stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lorafa_prof.shapes_only import has_values


@contextmanager
def own_random_numbers(seed: int | None, device: torch.device) -> Iterator[None]:
    """A context in which PyTorch's generators begin anew with `seed`; after it they go on as before.

    Args:
        seed: None changes nothing.
        device: what is drawn on, beside the host. Where it has shapes alone nothing is drawn.
    """
    if seed is None or not has_values(device):
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
