"""Ranks that the user started, by torchrun or Slurm: what the environment tells, and the store they share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lorafa_prof.errors import UsageError

_DEFAULT_PORT = "29500"
#: How many cells of several ranks rank 0 has put into the store so far.
TASKS = "tasks"


@dataclass(frozen=True)
class Allocation:
    """What the environment says of the ranks that were started together, this one among them.

    Attributes:
        rank, ranks: which this is, and how many there are.
        local_rank: which it is on its machine; its GPU.
        address, port: where rank 0 is, and the store.
        has_store: whether torchrun keeps a store there already.
    """

    rank: int
    ranks: int
    local_rank: int
    address: str
    port: int
    has_store: bool


def allocation_here() -> Allocation | None:
    """Return the allocation that this process is a rank of; None if it was started alone.

    Raises:
        UsageError: Slurm started several, and nothing says where rank 0 is.
    """
    said = os.environ
    if int(said.get("WORLD_SIZE", "1")) > 1 and "RANK" in said:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    elif int(said.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in said:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    else:
        return None
    if "MASTER_ADDR" not in said:
        raise UsageError(
            f"{names[1]} is {said[names[1]]}: this is one of several ranks, and MASTER_ADDR does not say "
            "where rank 0 is; export MASTER_ADDR (docs/parallel.md), or run one task"
        )
    return Allocation(
        rank=int(said[names[0]]),
        ranks=int(said[names[1]]),
        local_rank=int(said.get(names[2], "0")),
        address=said["MASTER_ADDR"],
        port=int(said.get("MASTER_PORT", _DEFAULT_PORT)),
        has_store=said.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def dismiss_ranks(allocation: Allocation) -> None:
    """Let other ranks end what they do for the last cell; whoever measured it on rank 0 is gone."""
    store = store_of(allocation)
    store.set(over(store.add(TASKS, 0)), "")


def store_of(allocation: Allocation, *, serve: bool = False) -> Any:
    """Return the store that all ranks share; with `serve` this one keeps it, unless torchrun does.

    The package's keys in it have a prefix, since torchrun has its own there.
    """
    import torch.distributed as dist

    store = dist.TCPStore(  # type: ignore[attr-defined]
        allocation.address,
        allocation.port,
        is_master=serve and not allocation.has_store,
        timeout=timedelta(minutes=5),
        wait_for_workers=False,
    )
    return dist.PrefixStore("lorafa-prof", store)  # type: ignore[attr-defined]


def over(number: int) -> str:
    """Return the key that says that a rank of this cell has failed, or that nobody waits for them."""
    return f"over/{number}"
