"""Where a step's memory is counted: on the host, by CUDA's allocator, or by the twin's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from lorafa_prof.cell import twin_device, twin_gpu
from lorafa_prof.devices.gpus.gpu import gpu_called
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.memory.allocator import AllocatorCounters
from lorafa_prof.instruments.memory.cpu import FollowedCounters
from lorafa_prof.instruments.memory.cuda import CudaCounters
from lorafa_prof.instruments.memory.sim import SimCounters
from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.profiling.living import living_tensors


@dataclass(frozen=True)
class StepPlace:
    """A device.

    Attributes:
        name: "cpu", "cuda" or "sim:<gpu>".
        device_type: of its tensors.
        twin: of a GPU, entered already.
    """

    name: str
    device_type: str
    twin: Twin | None = None

    @contextmanager
    def counters(self) -> Iterator[AllocatorCounters]:
        """A context in which what is allocated there is counted."""
        if self.twin is not None:
            yield SimCounters(self.twin.allocator)
        elif self.device_type == "cuda":
            yield CudaCounters()
        else:
            follower = _Follower("cpu")
            follower.adopt(living_tensors("cpu"))
            with follower:
                yield FollowedCounters(follower)


CPU, CUDA = StepPlace("cpu", "cpu"), StepPlace("cuda", "cuda")


def twin_asked(device: str | torch.device | None) -> Twin | None:
    """The twin that `device` asks for, not entered yet; None where it is none.

    Raises:
        UsageError: there is no such GPU in the catalogue.
    """
    gpu = twin_gpu(str(device))
    return Twin(gpu_called(gpu)) if gpu is not None else None


def place_of(
    device: str | torch.device | None, model: nn.Module | None, twin: Twin | None
) -> StepPlace | None:
    """The place that `device` asks for, else a twin that is entered, else `model`; None: none of them.

    Raises:
        UsageError: nothing can be measured there.
    """
    if device is None and twin is not None:
        return StepPlace(twin_device(twin.gpu.name), "cuda", twin)
    if device is None:
        parameter = next(model.parameters(), None) if model is not None else None
        if parameter is None:
            return None
        device = parameter.device
    try:
        device = torch.device(device)
    except RuntimeError:
        raise UsageError(f"profile: device '{device}' is none of cpu, cuda and the twin") from None
    return _place(device)


def _place(device: torch.device) -> StepPlace:
    if device.type == "cpu":
        return CPU
    if device.type == "meta":
        raise UsageError(
            "profile: tensors on 'meta' have no memory; build and run them inside "
            'with memory.twin("h100-80gb") as device: (`lorafa-prof list gpus` shows all GPUs)'
        )
    if device.type != "cuda":
        raise UsageError(f"profile: device '{device}' is none of cpu, cuda and the twin")
    if not torch.cuda.is_available():
        raise UsageError("profile: device 'cuda', but PyTorch sees no CUDA GPU here")
    if device.index not in (None, torch.cuda.current_device()):
        raise UsageError(
            f"profile: only the current CUDA device is measured; call torch.cuda.set_device({device.index})"
        )
    return CUDA


def cuda_allocations() -> int:
    """How often this process has taken memory of the current CUDA device."""
    if not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_stats_as_nested_dict()["allocation"]["all"]["allocated"])


class _Follower(StorageFollower):
    def _meet(self, tensor: torch.Tensor, adopted: bool = False) -> None:
        # A sparse tensor has no storage of its own.
        if torch._C._has_storage(tensor):
            super()._meet(tensor, adopted)
