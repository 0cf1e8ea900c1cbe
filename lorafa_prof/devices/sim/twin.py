"""The twin of a GPU: what runs inside it on CUDA tensors takes memory as it would on that GPU."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from lorafa_prof.devices.gpus.gpu import GPUS, Gpu
from lorafa_prof.devices.sim.allocator import AllocatorSettings, CachingAllocator
from lorafa_prof.devices.sim.cuda_answers import answers_on_memory
from lorafa_prof.devices.sim.kernels.kernel import Models
from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.devices.sim.mode import TwinMode
from lorafa_prof.devices.sim.paths import cuda_paths
from lorafa_prof.devices.sim.rank import Rank, being
from lorafa_prof.devices.sim.storages import storages_resized_by
from lorafa_prof.devices.sim.triton_launches import triton_launches
from lorafa_prof.models.attention import attention_stand_ins
from lorafa_prof.models.undrawn import nothing_drawn
from lorafa_prof.shapes_only import no_values_on_cuda

#: Where a GPU's context was not measured, this one's is taken.
CONTEXT_OF = "h100-80gb"


class Twin:
    """A context in which CUDA tensors are those of a GPU's twin. All from the first weight on belongs inside.

    Usage::

        with Twin(GPUS["h100-80gb"]) as twin:
            linear = nn.Linear(1024, 1024, device="cuda")
            linear(torch.empty(8, 1024, device="cuda")).sum().backward()
            print(twin.allocator.allocated.current, twin.allocator.reserved.peak)

    Known limits:

    - Shapes run, not numbers: integers and booleans have values, and floats that constants give; code that
      branches on another float's value ends with a `LorafaProfError`.
    - What a kernel allocates inside itself is known for the operations in `kernels/`; others that ran are in
      `honesty.unchecked_operations`.
    - It replaces functions of PyTorch for the whole process (`paths.py`): one twin at a time, and no GPU
      beside it.
    - There is no clock, and one GPU; ranks on other GPUs are never there.

    Args:
        gpu: the GPU that is stood for.
        settings: options of the caching allocator; None: those in this process's environment.
        capacity_bytes: bytes that the allocator can get; None: what `allocator_capacity` says of `gpu`.
        addresses: addresses of the first segments, if those of the GPU's own run are known.
        rank: which rank of several has that GPU; None: nothing is spread over ranks.

    Attributes:
        allocator: the model of PyTorch's caching allocator.
        mode: the dispatch mode that runs the operations.
    """

    def __init__(
        self,
        gpu: Gpu,
        *,
        settings: AllocatorSettings | None = None,
        capacity_bytes: int | None = None,
        addresses: Iterable[int] = (),
        rank: Rank | None = None,
    ) -> None:
        self.gpu = gpu
        self.settings = settings if settings is not None else settings_of_environment()
        self.allocator = CachingAllocator(
            capacity_bytes or allocator_capacity(gpu), self.settings, addresses, gpu.memory_bytes
        )
        machine = Machine(gpu.compute_capability, gpu.multiprocessors)
        self.mode = TwinMode(machine, self.allocator, Models())
        self._machine = machine
        self._rank = rank
        self._stack = ExitStack()

    def __enter__(self) -> Twin:
        if self._rank is not None:
            self._stack.enter_context(being(self._rank))
        self._stack.enter_context(_one_thread())
        self._stack.enter_context(nothing_drawn())
        self._stack.enter_context(no_values_on_cuda())
        self._stack.enter_context(attention_stand_ins())
        answers = answers_on_memory(self.gpu, self._machine, self.allocator)
        self._stack.enter_context(cuda_paths(self._machine, answers))
        self._stack.enter_context(triton_launches(self.mode))
        self._stack.enter_context(storages_resized_by(self.mode.resize))
        self._stack.enter_context(self.mode)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.__exit__(*exc)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Values on the host are small: more threads cost more, and a hundred times as much where others work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def allocator_capacity(gpu: Gpu) -> int | None:
    """Return the bytes that the allocator can get on `gpu`: memory less context; None if not known."""
    if gpu.memory_bytes is None:
        return None
    return gpu.memory_bytes - (gpu.context_bytes or GPUS[CONTEXT_OF].context_bytes or 0)


def settings_of_environment() -> AllocatorSettings:
    """Return the allocator's settings that PyTorch would read in this process.

    Raises:
        UsageError: they name an option that the model of the allocator does not have.
    """
    text = os.environ.get("PYTORCH_ALLOC_CONF") or os.environ.get("PYTORCH_CUDA_ALLOC_CONF")
    return AllocatorSettings.parse(text) if text else AllocatorSettings()
