"""Waiting until NCCL's watchdog has let go of what a step of DDP reduced."""

from __future__ import annotations

import time

import torch
import torch.distributed as dist

from lorafa_prof.parallel.shard import Parallel

#: The watchdog looks every 0.1 s (`kWatchdogThreadSleepMillis` in PyTorch's ProcessGroupNCCL.cpp).
_LOOKED_BY_THEN_S = 0.3


def await_watchdog(parallel: Parallel) -> None:
    """Wait, on GPUs, until only DDP itself keeps what it reduced; else return at once.

    DDP waits for its collectives by their futures. Their tensors are then kept until the watchdog, a thread,
    has seen them end, and the next collective begins (`shelvesToUnstash_` in ProcessGroupNCCL.hpp). Before
    its second step DDP makes its buckets anew; whether the old ones are freed by then is a race, which would
    make what two runs of a cell reserve differ (on two H200s by 1.3 GiB for Llama-3.2-1B).
    """
    if parallel == "ddp" and dist.get_backend() == "nccl":
        torch.cuda.synchronize()
        time.sleep(_LOOKED_BY_THEN_S)
