"""The processes of a step's ranks on this machine, with the environment that torchrun gives them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.distributed as dist

_HERE = "127.0.0.1"


@contextmanager
def meeting_place(count: int, address: str = _HERE) -> Iterator[dict[str, str]]:
    """A context in which `count` ranks can find each other, at this machine's `address` and a free port.

    Yields what they need of the environment. As torchrun's agent does, this process keeps the store that they
    meet at, so that no rank has to be there first.
    """
    store = dist.TCPStore(address, 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    yield {
        "MASTER_ADDR": address,
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(count),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    del store


@contextmanager
def started(
    environments: Sequence[Mapping[str, str]], work: Callable[..., None], *args: Any
) -> Iterator[list[BaseProcess]]:
    """A context with a process for each of these environments, which does ``work(*args)``.

    They are forked from this one, which must not have used a GPU, unless CUDA was initialised by an import;
    then they start afresh. None is left at the end.
    """
    # Forked processes import nothing again.
    method = "fork" if _forks_can_use_cuda() else "spawn"
    context = multiprocessing.get_context(method)
    processes: list[BaseProcess] = [
        context.Process(target=_work, args=(dict(environment), work, args))  # type: ignore[attr-defined]
        for environment in environments
    ]
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            if process.pid is not None:
                process.join()


def _forks_can_use_cuda() -> bool:
    forks = "fork" in multiprocessing.get_all_start_methods()
    return forks and not torch.cuda.is_initialized() and not torch.cuda._is_in_bad_fork()


def rank_environment(meeting: Mapping[str, str], rank: int, local_rank: int) -> dict[str, str]:
    """Return the environment of a rank."""
    return {**meeting, "RANK": str(rank), "LOCAL_RANK": str(local_rank)}


def _work(environment: Mapping[str, str], work: Callable[..., None], args: Sequence[Any]) -> None:
    os.environ.update(environment)
    work(*args)
