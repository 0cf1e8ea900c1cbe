"""What ranks gathered by Gloo is gone when it is counted."""

from __future__ import annotations

import weakref

import torch
import torch.distributed as dist
from on_ranks import on_ranks

from lorafa_prof.instruments.memory.cpu import FollowedCounters
from lorafa_prof.instruments.memory.storages import StorageFollower


def kept_after_their_last_reference() -> int:
    """How many of the tensors that this rank has gathered and let go of live on when memory is counted."""
    counters = FollowedCounters(StorageFollower("cpu"))
    late = 0
    for _ in range(100):
        gathered, shard = torch.empty(50_000), torch.ones(25_000)
        dist.all_gather_into_tensor(gathered, shard)
        gone: list[bool] = []
        weakref.finalize(gathered.untyped_storage(), gone.append, True)
        del gathered
        counters.current()
        late += not gone
    return late


def test_what_was_gathered_is_counted_no_more_when_its_rank_has_let_go() -> None:
    assert on_ranks(kept_after_their_last_reference) == [0, 0]
