"""Collectives of ranks that are alike: they end at once, and nobody is at their other ends.

Shapes are the same on all ranks; what differs are values that the twin does not know.
"""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.shapes import tensors_in

aten, c10d = torch.ops.aten, torch.ops.c10d
_create_work: Any = torch._C._distributed_c10d._create_work_from_future  # type: ignore[attr-defined]


def _collective(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    step.written(*tensors_in(args[0]))
    return args[0], _done(args[0])


def _broadcast(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Leave known values as they are: they are the same on all ranks."""
    return args[0], _done(args[0])


def _allgather(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    for gathered, given in zip(*args[:2], strict=True):
        flat = step.take(len(gathered) * numel_bytes(given))
        for tensor in gathered:
            step.run(aten.copy_.default, (tensor, given), {})
        step.give_back(flat)
    return args[0], _done(args[0])


def _done(result: Any) -> Any:
    """Return the work of a collective that has ended, with this result."""
    future: torch.futures.Future[Any] = torch.futures.Future()
    future.set_result(result)
    return _create_work(future).boxed()


_NCCL = "torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp"

KERNELS = (
    Kernel(
        name="collectives",
        ops=(
            c10d._allgather_base_.default,
            c10d._reduce_scatter_base_.default,
            c10d.allreduce_.default,
        ),
        model=_collective,
        formula="nothing: NCCL's own buffers are beside the allocator's",
        source=_NCCL,
    ),
    Kernel(
        name="broadcast",
        ops=(c10d.broadcast_.default,),
        model=_broadcast,
        formula="nothing: NCCL's own buffers are beside the allocator's",
        source=_NCCL,
    ),
    Kernel(
        name="gathering into tensors apart",
        ops=(c10d.allgather_.default,),
        model=_allgather,
        formula="all of them in one tensor, which they are copied from",
        source=f"{_NCCL}: newLikeFlat",
    ),
)
