"""Peak memory of training, evaluations left out, and what forward holds with the longest batch so far."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafa_prof.instruments.memory.cpu import FollowedMemoryMeter
from lorafa_prof.instruments.memory.cuda import CudaCounters, CudaMemoryMeter
from lorafa_prof.instruments.memory.profile import MemoryMeter, MemoryProfile
from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.methods.base import Prepared
from lorafa_prof.running.on_cpu import held_between_steps
from lorafa_prof.step import Observer


@dataclass
class MemorySoFar:
    """What is known of a run's memory, in bytes; None: nothing yet, or nothing can be.

    Attributes:
        longest: numbers in the longest batch whose step was looked at.
    """

    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    activation_bytes: int | None = None
    longest: int = 0


class TrainingMemory:
    """Looks at the steps whose batch is longer than all before, which are few, and at the allocator's peaks.

    On a GPU the peaks are of all steps. A host has no allocator that counts, so there they are of the steps
    that are looked at, in which storages are followed.

    Args:
        prepared: what trains.
        device: where it is.
        so_far: takes what is found.
        looks: whether steps can be looked at; on the CPU compiled ones cannot.
    """

    def __init__(
        self, prepared: Prepared, device: torch.device, so_far: MemorySoFar, *, looks: bool = True
    ) -> None:
        self._prepared = prepared
        self._is_cuda = device.type == "cuda"
        self._so_far = so_far
        self._looks = looks

    def begin(self) -> None:
        """Let peaks begin here: what the model's build or an evaluation took is left out."""
        if self._is_cuda:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def pause(self) -> None:
        """Keep the peaks, before what is no training begins."""
        if self._is_cuda:
            peak = CudaCounters().peak()
            self._keep(peak.allocated, peak.reserved)

    @contextmanager
    def looking(
        self, step: int, inputs: Mapping[str, Tensor], numbers: int
    ) -> Iterator[tuple[Observer, ...]]:
        """A context in which a step runs, with the observers that look at it, if any.

        Args:
            step: counted from 0. The second one is looked at in any case, since the first has no optimizer's
                state at its start.
            inputs: the batch of its last forward.
            numbers: in that batch.
        """
        if not self._looks or not (numbers > self._so_far.longest or step == 1):
            yield ()
            return
        self._so_far.longest = max(numbers, self._so_far.longest)
        meter: MemoryMeter
        if self._is_cuda:
            self.pause()  # the meter lets peaks begin anew in each phase
            meter = CudaMemoryMeter(self._prepared.model)
            yield (meter,)
        else:
            follower = StorageFollower("cpu")
            follower.adopt(held_between_steps(self._prepared, inputs))
            meter = FollowedMemoryMeter(follower, self._prepared.model)
            with follower:
                yield (meter,)
        self._keep_profile(meter.profile())

    def _keep_profile(self, profile: MemoryProfile) -> None:
        self._so_far.activation_bytes = profile.activation_bytes
        self._keep(profile.peak_allocated_bytes, profile.peak_reserved_bytes)

    def _keep(self, allocated: int, reserved: int | None) -> None:
        so_far = self._so_far
        so_far.peak_allocated_bytes = max(allocated, so_far.peak_allocated_bytes or 0)
        if reserved is not None:
            so_far.peak_reserved_bytes = max(reserved, so_far.peak_reserved_bytes or 0)
