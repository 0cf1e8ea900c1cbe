"""What `torch.cuda` says of the GPU that a twin stands for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from lorafa_prof.devices.gpus.gpu import Gpu
from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.devices.sim.graphs import answers_on_graphs
from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.devices.sim.streams import answers_on_streams
from lorafa_prof.errors import UsageError

Answers = dict[str, Callable[..., Any]]


def answers_of(machine: Machine) -> Answers:
    """Return functions for those of `torch.cuda` that ask for a device or its kind: one GPU, `machine`."""
    return {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_capability": lambda device=None: machine.compute_capability,
        "is_bf16_supported": lambda including_emulation=True: (
            including_emulation or machine.compute_capability >= (8, 0)
        ),
        "is_current_stream_capturing": lambda: False,
        "synchronize": lambda device=None: None,
        "set_device": _set_device,
        "_exchange_device": lambda device: 0,
        "_maybe_exchange_device": lambda device: 0,
        "_lazy_init": lambda: None,
    }


def answers_on_memory(gpu: Gpu, machine: Machine, allocator: CachingAllocator) -> Answers:
    """Return functions for those of `torch.cuda` that ask for the GPU's name, size and use."""
    properties = SimpleNamespace(
        name=gpu.name,
        major=gpu.compute_capability[0],
        minor=gpu.compute_capability[1],
        total_memory=gpu.memory_bytes or 0,
        multi_processor_count=gpu.multiprocessors,
    )
    return {
        "get_device_name": lambda device=None: gpu.name,
        "get_device_properties": lambda device=None: properties,
        "memory_allocated": lambda device=None: allocator.allocated.current,
        "max_memory_allocated": lambda device=None: allocator.allocated.peak,
        "memory_reserved": lambda device=None: allocator.reserved.current,
        "max_memory_reserved": lambda device=None: allocator.reserved.peak,
        "memory_stats": lambda device=None: _stats(allocator),
        "memory_stats_as_nested_dict": lambda device=None: _nested(_stats(allocator)),
        "memory_summary": lambda device=None, abbreviated=False: str(_stats(allocator)),
        "mem_get_info": lambda device=None: (_free_bytes(gpu, allocator), gpu.memory_bytes or 0),
        "reset_peak_memory_stats": lambda device=None: allocator.reset_peaks(),
        "empty_cache": allocator.empty_cache,
        **answers_on_streams(allocator),
        **answers_on_graphs(machine, allocator),
    }


def another_gpu(device: torch.device) -> UsageError:
    """Return the error of code that asks for a GPU beside the one that a twin stands for."""
    return UsageError(f"{device} is asked for, and a twin is of one GPU, cuda:0")


def _set_device(device: torch.device | str | int) -> None:
    asked = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if asked.index:
        raise another_gpu(asked)


def _nested(stats: dict[str, int]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in stats.items():
        *folders, last = name.split(".")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return nested


def _stats(allocator: CachingAllocator) -> dict[str, int]:
    """Those of PyTorch's statistics that the model of the allocator counts, by their names there."""
    counters = {
        "allocated": allocator.allocated,
        "requested": allocator.requested,
        "active": allocator.active,
        "reserved": allocator.reserved,
    }
    stats = {"num_alloc_retries": allocator.num_alloc_retries}
    for name, counter in counters.items():
        stats[f"{name}_bytes.all.current"] = counter.current
        stats[f"{name}_bytes.all.peak"] = counter.peak
    return stats


def _free_bytes(gpu: Gpu, allocator: CachingAllocator) -> int:
    capacity = allocator.capacity_bytes
    return (gpu.memory_bytes or 0) if capacity is None else capacity - allocator.reserved.current
