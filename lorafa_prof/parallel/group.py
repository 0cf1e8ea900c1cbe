"""The ranks of one step: joining them, as torchrun's environment says, and which of them this is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from lorafa_prof.errors import UsageError

#: A collective that takes longer is given up, since some rank will not come to it.
COLLECTIVE_TIMEOUT_S = 300.0
TIMEOUT_VARIABLE = "LORAFA_PROF_COLLECTIVE_TIMEOUT_S"


def rank_here() -> int:
    """Return which of the ranks this process is, counted from 0; 0 where it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


@contextmanager
def joined_ranks(device_type: str, *, offload: bool = False) -> Iterator[None]:
    """A context in which this process is one of the ranks that RANK and WORLD_SIZE in the environment say.

    Ranks on GPUs speak by NCCL, those on CPUs by Gloo. A rank has the GPU that LOCAL_RANK says. NVLink's
    multicast stays off unless NCCL_NVLS_ENABLE is set: it takes memory of its own beside PyTorch's.

    Args:
        device_type: "cuda" or "cpu".
        offload: whether ranks on GPUs have tensors on the host to reduce too.
    """
    backend = "gloo"
    if device_type == "cuda":
        os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl" if offload else "nccl"
    dist.init_process_group(backend, timeout=timedelta(seconds=collective_timeout_s()))
    yield
    # Not after an error: that would wait for ranks which wait for this one.
    dist.destroy_process_group()


def collective_timeout_s() -> float:
    """Return how long a collective may take, in seconds.

    Raises:
        UsageError: the environment says something else than a number above 0.
    """
    said = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(said) if said else COLLECTIVE_TIMEOUT_S
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{TIMEOUT_VARIABLE} is '{said}'; it is a number of seconds above 0")
    return seconds
