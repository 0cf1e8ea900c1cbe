"""Being one rank of several on the twin: PyTorch's own FSDP2 and DDP run, with nobody at the other ends.

Their Python runs as on the GPUs, on a process group that says it is rank r of N. What is theirs in C++, DDP's
reducer, allocates by operations that the twin's mode sees. Collectives are entries of the kernel table
(`kernels/collectives.py`): they end at once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, Logger
from torch.distributed.tensor import _sharding_prop

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.models.replaced import replaced

_CUDA = 1
_NO_DEVICE = 0x7F
#: std::unordered_map of libstdc++, in words: its buckets, their number, its first node, its number of nodes,
#: and the largest load of a bucket, a float.
_FIRST_NODE, _NODES, _LOAD, _WORDS = 2, 3, 4, 5
_LOAD_OF_ONE = 0x3F800000
#: A node: where the next one is, then the key.
_KEY_AT = 8


class Rank(NamedTuple):
    """One of the ranks of a step: its number, counted from 0, of how many."""

    number: int
    of: int


@contextmanager
def being(rank: Rank) -> Iterator[None]:
    """A context in which this process is that rank.

    Raises:
        LorafaProfError: this process is a rank already, or this PyTorch is not known.
    """
    if dist.is_initialized():
        raise LorafaProfError("this process is a rank already, and cannot be another one on a twin")
    dist.init_process_group("fake", store=HashStore(), rank=rank.number, world_size=rank.of)
    try:
        with _no_clock(), _no_strided_shards():
            yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _no_clock() -> Iterator[None]:
    """DDP's reducer without a timer, which would record events on a GPU; its log of times stays empty."""
    keys = [key for key in _timers() if key.value == _CUDA]
    try:
        for key in keys:
            key.value = _NO_DEVICE
        with replaced(Logger, {"set_runtime_stats_and_log": lambda self: None}):
            yield
    finally:
        for key in keys:
            key.value = _CUDA


def _timers() -> Iterator[Any]:
    """Yield the types of devices that have a timer, where PyTorch keeps them (c10d::TimerRegistry)."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    registry = library._ZN4c10d13TimerRegistryEv
    registry.restype = ctypes.c_void_p
    words = (ctypes.c_uint64 * _WORDS).from_address(registry())
    if words[_LOAD] & 0xFFFFFFFF != _LOAD_OF_ONE or words[_NODES] > _NO_DEVICE:
        raise LorafaProfError(f"the twin does not know torch {torch.__version__}: DDP's timers are elsewhere")
    node = words[_FIRST_NODE]
    for _ in range(words[_NODES]):
        yield ctypes.c_int8.from_address(node + _KEY_AT)
        node = ctypes.c_uint64.from_address(node).value


def _no_strided_shards() -> AbstractContextManager[None]:
    """DTensor without its search for shards in strides, of which a mesh of one dimension has none.

    In PyTorch 2.13 that takes seconds: of each of a thousand parameters of a fused optimizer it looks at all.
    """
    name = "_propagate_use_strided_shard_flag"
    search = {name: lambda strategy, schema: None} if hasattr(_sharding_prop, name) else {}
    return replaced(_sharding_prop, search)
